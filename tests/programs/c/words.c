// Counts the words of standard input: lines, a hash table, qsort, floats, a large output.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct word {
  char *text;
  unsigned count;
  struct word *next;
};

static struct word *buckets[1024];
static unsigned distinct, total;

static void add(const char *text) {
  unsigned hash = 5381;
  for (const char *at = text; *at; at++) hash = hash * 33 ^ (unsigned char)*at;
  struct word **place = &buckets[hash % 1024];
  while (*place && strcmp((*place)->text, text) != 0) place = &(*place)->next;
  if (!*place) {
    *place = calloc(1, sizeof **place);
    (*place)->text = strdup(text);
    distinct++;
  }
  (*place)->count++;
  total++;
}

static int by_count(const void *one, const void *other) {
  const struct word *a = *(struct word *const *)one, *b = *(struct word *const *)other;
  if (a->count != b->count) return a->count < b->count ? 1 : -1;
  return strcmp(a->text, b->text);
}

int main(void) {
  char line[256];
  unsigned lines = 0;
  while (fgets(line, sizeof line, stdin)) {
    lines++;
    for (char *at = strtok(line, " \t\r\n.,;:!?"); at; at = strtok(NULL, " \t\r\n.,;:!?")) {
      for (char *letter = at; *letter; letter++) *letter = (char)tolower((unsigned char)*letter);
      add(at);
    }
  }
  struct word **all = malloc((distinct + 1) * sizeof *all);
  unsigned filled = 0;
  for (unsigned bucket = 0; bucket < 1024; bucket++)
    for (struct word *word = buckets[bucket]; word; word = word->next) all[filled++] = word;
  qsort(all, filled, sizeof *all, by_count);
  for (unsigned at = 0; at < filled; at++)
    printf("%-12s %6u %8.4f%%\n", all[at]->text, all[at]->count, 100.0 * all[at]->count / total);
  fprintf(stderr, "%u lines, %u words, %u distinct\n", lines, total, distinct);
  return 0;
}
