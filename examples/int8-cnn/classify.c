// Classifies 8x8 digits with a convolutional network of 8-bit weights; integers only.
#include "../digits.h"
#include "weights.h"

// A proof pays for each instruction: what stays in locals is not loaded again.
#define WRITTEN_OUT _Pragma("clang loop unroll(full)")

enum {
  POOLED = 3,  // places of a filter, a side, after the largest of each 2x2 is taken
  PLACES = POOLED * POOLED,
  HIDDEN = FILTERS * PLACES,
};

// What a 3x3 filter finds in four by four pixels: the largest of its four places, and at least 0.
static inline int32_t find(const int32_t seen[16], const int8_t *filter, int32_t bias) {
  int32_t weight[9], most = 0;
  WRITTEN_OUT for (int i = 0; i < 9; i++) weight[i] = filter[i];
  WRITTEN_OUT for (int place = 0; place < 4; place++) {
    const int32_t *corner = seen + place / 2 * 4 + place % 2;
    int32_t sum = bias;
    WRITTEN_OUT for (int i = 0; i < 9; i++) sum += corner[i / 3 * 4 + i % 3] * weight[i];
    if (sum > most) most = sum;
  }
  int32_t scaled = (int32_t)((int64_t)most * MULTIPLIER >> SHIFT);
  return scaled > HIDDEN_MAX ? HIDDEN_MAX : scaled;
}

static uint8_t classify(const uint8_t *image) {
  int32_t hidden[HIDDEN];
  for (int place = 0; place < PLACES; place++) {
    const uint8_t *corner = image + place / POOLED * 2 * SIDE + place % POOLED * 2;
    int32_t seen[16];  // once for all filters
    WRITTEN_OUT for (int i = 0; i < 16; i++) seen[i] = corner[i / 4 * SIDE + i % 4];
    for (int filter = 0; filter < FILTERS; filter++)
      hidden[filter * PLACES + place] = find(seen, FIRST + filter * 9, FIRST_BIAS[filter]);
  }
  int32_t sums[LABELS];
  WRITTEN_OUT for (int unit = 0; unit < LABELS; unit++) sums[unit] = SECOND_BIAS[unit];
  for (int i = 0; i < HIDDEN; i++) {
    const int8_t *weight = SECOND + i * LABELS;
    WRITTEN_OUT for (int unit = 0; unit < LABELS; unit++) sums[unit] += hidden[i] * weight[unit];
  }
  int32_t best = sums[0];
  uint8_t label = 0;
  WRITTEN_OUT for (int unit = 1; unit < LABELS; unit++)
    if (sums[unit] > best) best = sums[unit], label = (uint8_t)unit;
  return label;
}
