// Classifies 8x8 digits with a 64-32-10 network of 8-bit weights; integers only.
// Input: count (u32, little-endian), then 64 bytes an image, pixels 0..16. Output: a label each.
#include "../ambient.h"
#include "weights.h"

enum { PIXELS = 64, HIDDEN = 32, LABELS = 10 };

static uint8_t classify(const uint8_t *image) {
  int32_t hidden[HIDDEN];
  for (int unit = 0; unit < HIDDEN; unit++) {
    int32_t sum = FIRST_BIAS[unit];
    for (int i = 0; i < PIXELS; i++) sum += image[i] * FIRST[unit * PIXELS + i];
    int64_t scaled = sum < 0 ? 0 : ((int64_t)sum * MULTIPLIER) >> SHIFT;
    hidden[unit] = scaled > HIDDEN_MAX ? HIDDEN_MAX : (int32_t)scaled;
  }
  int32_t best = INT32_MIN;
  uint8_t label = 0;
  for (int unit = 0; unit < LABELS; unit++) {
    int32_t sum = SECOND_BIAS[unit];
    for (int i = 0; i < HIDDEN; i++) sum += hidden[i] * SECOND[unit * HIDDEN + i];
    if (sum > best) best = sum, label = (uint8_t)unit;
  }
  return label;
}

EXPORT("run") uint64_t run(const uint8_t *input, uint32_t size) {
  if (size < 4) __builtin_trap();
  uint32_t count = (uint32_t)input[0] | (uint32_t)input[1] << 8 | (uint32_t)input[2] << 16 |
                   (uint32_t)input[3] << 24;
  if ((uint64_t)count * PIXELS + 4 != size) __builtin_trap();
  uint8_t *labels = take(count);
  for (uint32_t i = 0; i < count; i++) labels[i] = classify(input + 4 + i * PIXELS);
  return output(labels, count);
}
