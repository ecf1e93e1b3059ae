// The ambient ABI v1 for freestanding C (protocols/04): alloc, and how `run` returns its output.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))

extern uint8_t __heap_base;  // set by the linker, behind the stack and all static data

// The heap only grows; an instance serves one execution.
static uint8_t *heap_end;

static void *take(size_t size) {
  if (!heap_end) heap_end = &__heap_base;
  uint8_t *start = (uint8_t *)(((uintptr_t)heap_end + 15) & ~(uintptr_t)15);
  uintptr_t end = (uintptr_t)start + size;
  uintptr_t have = __builtin_wasm_memory_size(0) << 16;
  if (end < (uintptr_t)start) __builtin_trap();
  if (end > have && __builtin_wasm_memory_grow(0, (end - have + 0xffff) >> 16) == (size_t)-1)
    __builtin_trap();
  heap_end = (uint8_t *)end;
  return start;
}

EXPORT("alloc") uint32_t alloc(uint32_t size) { return (uint32_t)(uintptr_t)take(size); }

static uint64_t output(const void *start, uint32_t size) {
  return (uint64_t)(uint32_t)(uintptr_t)start << 32 | size;
}
