// Statistics of a CSV table: a WASI command, exact decimal arithmetic (README.md).
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INTEGER_DIGITS_MAX = 18, FRACTION_DIGITS = 9, COLUMNS_MAX = 1024 };

// A number is below 10^27 in units of 10^-9; 2^32 squares of those need 212 bits, times 2^32 244.
typedef _BitInt(128) Decimal;
typedef _BitInt(256) Wide;

typedef struct {
  uint32_t count, numbers;
  Decimal min, max;
  Wide sum, squares;
} Column;

typedef struct {
  char *name;
  Column *columns;
} Group;

typedef struct {
  char *at, *end;
  uint32_t line;
} Reader;

typedef struct {
  char **fields;
  uint32_t count;
} Record;

static const char DIRECTIVE[] = "#group-by ";

// Line 0 is the whole input.
static _Noreturn void fail(uint32_t line, const char *problem) {
  char digits[11], *start = digits + sizeof digits;
  *--start = 0;
  do *--start = (char)('0' + line % 10);
  while (line /= 10);
  if (*start != '0') fputs("line ", stderr), fputs(start, stderr), fputs(": ", stderr);
  fputs(problem, stderr), fputs("\n", stderr);
  exit(1);
}

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (!memory) fail(0, "out of memory");
  return memory;
}

// ---- the table

static Reader read_all(void) {
  size_t size = 0, room = 1 << 16;
  char *text = allocate(room + 1, 1);
  for (ssize_t got; (got = read(0, text + size, room - size)) > 0;) {
    size += (size_t)got;
    if (size == room && !(text = realloc(text, (room *= 2) + 1))) fail(0, "out of memory");
  }
  if (memchr(text, 0, size)) fail(0, "the input is not text: it has a byte of zero");
  Reader reader = {text, text + size, 1};
  if (size >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) reader.at += 3;
  return reader;
}

static bool at_line_end(const Reader *in) {
  return in->at == in->end || *in->at == '\n' ||
         (*in->at == '\r' && in->at + 1 < in->end && in->at[1] == '\n');
}

static void skip_line_end(Reader *in) {
  if (in->at == in->end) return;
  in->at += *in->at == '\r' ? 2 : 1;
  in->line++;
}

// Returns the end of the field's text, which is put together in place.
static char *read_quoted(Reader *in, char *to) {
  uint32_t opened = in->line;
  for (in->at++;; in->at++) {
    if (in->at == in->end) fail(opened, "a quote is opened and never closed");
    if (*in->at == '"') {
      if (++in->at == in->end || *in->at != '"') return to;
    } else if (*in->at == '\n') {
      in->line++;
    }
    *to++ = *in->at;
  }
}

static void read_record(Reader *in, Record *record) {
  record->count = 0;
  for (;;) {
    if (record->count == COLUMNS_MAX) fail(in->line, "more than 1024 columns");
    char *start = in->at, *end = start;
    if (!at_line_end(in) && *in->at == '"') {
      end = read_quoted(in, start);
    } else {
      while (!at_line_end(in) && *in->at != ',') in->at++;
      end = in->at;
    }
    bool last = at_line_end(in);
    if (!last && *in->at != ',') fail(in->line, "text stands behind a closing quote");
    record->fields[record->count++] = start;
    if (last)
      skip_line_end(in);
    else
      in->at++;
    *end = 0;  // the separator or quote behind the text has been read
    if (last) return;
  }
}

static void skip_empty_lines(Reader *in) {
  while (in->at != in->end && at_line_end(in)) skip_line_end(in);
}

// ---- numbers

static bool parse(const char *text, Decimal *value) {
  bool negative = *text == '-';
  text += *text == '-' || *text == '+';
  int digits = 0, integers = 0, fractions = 0;
  Decimal number = 0;
  for (; *text >= '0' && *text <= '9'; text++, digits++) {
    number = number * 10 + (*text - '0');
    if (number && ++integers > INTEGER_DIGITS_MAX) return false;
  }
  if (*text == '.')
    for (text++; *text >= '0' && *text <= '9'; text++, digits++) {
      if (++fractions > FRACTION_DIGITS) return false;
      number = number * 10 + (*text - '0');
    }
  if (*text || !digits) return false;
  for (; fractions < FRACTION_DIGITS; fractions++) number *= 10;
  *value = negative ? -number : number;
  return true;
}

static Wide divided(Wide number, Wide by) {
  Wide half = by / 2;
  return (number < 0 ? number - half : number + half) / by;  // halves go away from zero
}

static void put_decimal(Wide value) {
  char digits[96], *start = digits + sizeof digits;
  bool negative = value < 0, shown = false;
  if (negative) value = -value;
  *--start = 0;
  for (int place = 0; value || place <= FRACTION_DIGITS; place++, value /= 10) {
    char digit = (char)('0' + (int)(value % 10));
    if (place == FRACTION_DIGITS && shown) *--start = '.';
    shown |= digit != '0' || place >= FRACTION_DIGITS;
    if (shown) *--start = digit;
  }
  if (negative) *--start = '-';
  fputs(start, stdout);
}

static void put_text(const char *text) {
  if (!text[strcspn(text, ",\"\r\n")]) {
    fputs(text, stdout);
    return;
  }
  putchar('"');
  for (; *text; text++) {
    if (*text == '"') putchar('"');
    putchar(*text);
  }
  putchar('"');
}

// ---- statistics

static void add(Column *column, const char *text) {
  if (!*text) return;
  column->count++;
  Decimal value;
  if (!parse(text, &value)) return;
  if (!column->numbers || value < column->min) column->min = value;
  if (!column->numbers || value > column->max) column->max = value;
  column->numbers++;
  column->sum += value;
  column->squares += (Wide)value * value;
}

static void put_column(const Column *column) {
  Wide n = column->numbers;
  putchar(','), put_decimal((Wide)column->count * 1000000000);
  putchar(','), put_decimal(n * 1000000000);
  putchar(',');
  if (n) put_decimal(column->min);
  putchar(',');
  if (n) put_decimal(column->max);
  putchar(',');
  if (n) put_decimal(divided(column->sum, n));
  putchar(',');
  if (n > 1) {
    Wide above = n * column->squares - column->sum * column->sum;
    put_decimal(divided(above, n * (n - 1) * 1000000000));
  }
  putchar('\n');
}

// Groups are kept in the order of their names' bytes.
static Group *groups;
static size_t groups_count, groups_room;

static Group *group_named(char *name, uint32_t columns) {
  size_t low = 0, high = groups_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    int order = strcmp(name, groups[middle].name);
    if (!order) return &groups[middle];
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  if (groups_count == groups_room) {
    groups_room = groups_room ? 2 * groups_room : 16;
    groups = realloc(groups, groups_room * sizeof *groups);
    if (!groups) fail(0, "out of memory");
  }
  memmove(groups + low + 1, groups + low, (groups_count++ - low) * sizeof *groups);
  groups[low] = (Group){name, allocate(columns, sizeof(Column))};
  return &groups[low];
}

static char *read_directive(Reader *in) {
  size_t length = sizeof DIRECTIVE - 1;
  if (in->at == in->end || *in->at != '#') return NULL;
  if ((size_t)(in->end - in->at) < length || memcmp(in->at, DIRECTIVE, length))
    fail(in->line, "the only directive is `#group-by COLUMN`");
  char *name = in->at += length;
  while (!at_line_end(in)) in->at++;
  char *end = in->at;
  skip_line_end(in);
  *end = 0;
  return name;
}

static uint32_t find(const Record *header, const char *name) {
  for (uint32_t i = 0; i < header->count; i++)
    if (!strcmp(header->fields[i], name)) return i;
  fail(1, "no column has the name that #group-by gives");
}

int main(void) {
  Reader in = read_all();
  char *by = read_directive(&in);
  Record header = {allocate(COLUMNS_MAX, sizeof(char *)), 0};
  Record record = {allocate(COLUMNS_MAX, sizeof(char *)), 0};
  skip_empty_lines(&in);
  if (in.at == in.end) fail(in.line, "the header line is missing");
  read_record(&in, &header);
  uint32_t key = by ? find(&header, by) : COLUMNS_MAX;
  if (!by) group_named("", header.count);
  for (skip_empty_lines(&in); in.at != in.end; skip_empty_lines(&in)) {
    uint32_t line = in.line;
    read_record(&in, &record);
    if (record.count != header.count) fail(line, "the header has another number of fields");
    Group *group = group_named(by ? record.fields[key] : "", header.count);
    for (uint32_t i = 0; i < header.count; i++) add(&group->columns[i], record.fields[i]);
  }
  if (by) put_text(by), putchar(',');
  puts("column,count,numbers,min,max,mean,variance");
  for (size_t g = 0; g < groups_count; g++)
    for (uint32_t i = 0; i < header.count; i++) {
      if (i == key) continue;
      if (by) put_text(groups[g].name), putchar(',');
      put_text(header.fields[i]);
      put_column(&groups[g].columns[i]);
    }
  return 0;
}
