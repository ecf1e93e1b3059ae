// `deep N`: recursion N calls deep, N from standard input; allocates and frees on the way.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned descend(unsigned depth, unsigned mix) {
  if (depth == 0) return mix;
  unsigned char *block = malloc(1 + depth % 61);
  memset(block, (int)mix, 1 + depth % 61);
  unsigned below = descend(depth - 1, mix * 2654435761u + block[depth % 61]);
  free(block);
  return below ^ depth;
}

int main(void) {
  unsigned depth;
  if (scanf("%u", &depth) != 1) {
    fputs("no depth\n", stderr);
    return 2;
  }
  printf("%08x\n", descend(depth, 1));
  size_t size = 1;
  while (size < (size_t)1 << 31) {
    void *block = malloc(size);
    if (!block) break;
    free(block);
    size *= 2;
  }
  printf("no room for %zu bytes\n", size);
  return 0;
}
