// Classifies 8x8 digits: what a network of PIXELS inputs says by `classify`, for many pictures at once.
// Input: count (u32, little-endian), then 64 bytes an image, pixels 0..16. Output: a label each.
#pragma once
#include "ambient.h"

enum { SIDE = 8, PIXELS = SIDE * SIDE, LABELS = 10 };

static uint8_t classify(const uint8_t *image);

EXPORT("run") uint64_t run(const uint8_t *input, uint32_t size) {
  if (size < 4) __builtin_trap();
  uint32_t count = (uint32_t)input[0] | (uint32_t)input[1] << 8 | (uint32_t)input[2] << 16 |
                   (uint32_t)input[3] << 24;
  if ((uint64_t)count * PIXELS + 4 != size) __builtin_trap();
  uint8_t *labels = take(count);
  for (uint32_t i = 0; i < count; i++) labels[i] = classify(input + 4 + i * PIXELS);
  return output(labels, count);
}
