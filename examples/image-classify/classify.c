// Classifies 8x8 digits with a 64-32-10 network of 8-bit weights; integers only.
#include "../digits.h"
#include "weights.h"

enum { HIDDEN = 32 };

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
