// A WASI command without a C library: standard input to standard output, in upper case,
// and the number of bytes to standard error, which becomes the log.
#include <stddef.h>
#include <stdint.h>

#define IMPORT(name) \
  __attribute__((import_module("wasi_snapshot_preview1"), import_name(name)))

typedef struct {
  void *start;
  size_t size;
} Vector;

IMPORT("fd_read") int fd_read(int descriptor, const Vector *vectors, size_t count, size_t *moved);
IMPORT("fd_write") int fd_write(int descriptor, const Vector *vectors, size_t count, size_t *moved);
IMPORT("proc_exit") _Noreturn void proc_exit(int code);

static char buffer[1 << 16];

static void write_all(int descriptor, char *start, size_t size) {
  while (size) {
    Vector vector = {start, size};
    size_t moved = 0;
    if (fd_write(descriptor, &vector, 1, &moved) || !moved) proc_exit(1);
    start += moved;
    size -= moved;
  }
}

static char *decimal(size_t number, char *end) {
  do *--end = (char)('0' + number % 10);
  while (number /= 10);
  return end;
}

__attribute__((export_name("_start"))) void _start(void) {
  size_t total = 0;
  for (;;) {
    Vector vector = {buffer, sizeof buffer};
    size_t moved = 0;
    if (fd_read(0, &vector, 1, &moved)) proc_exit(1);
    if (!moved) break;
    for (size_t i = 0; i < moved; i++)
      if (buffer[i] >= 'a' && buffer[i] <= 'z') buffer[i] -= 'a' - 'A';
    write_all(1, buffer, moved);
    total += moved;
  }
  char text[32], *end = text + sizeof text;
  *--end = '\n';
  char *start = decimal(total, end);
  write_all(2, start, (size_t)(text + sizeof text - start));
}
