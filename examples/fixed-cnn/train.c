// Trains a small convolutional network on the pictures it is given, in integers only (README.md):
// filters of 3 x 3, the largest of each 2 x 2, max(0, .), and a dense layer.
//
// Numbers are Q16: an int32 n stands for n / 65536. Products and sums are int64; every result is
// rounded once, half up, and clamped to +-RANGE; inputs are below 2^24. A sum has at most 1,024
// products, over a row, over a filter's places or over a batch: it stays below 2^(10 + 10 + 23 + 24)
// for a filter's gradient over a batch, which is why that is clamped for each sample.
#include "../ambient.h"

enum {
  FRACTION = 16,
  ONE = 1 << FRACTION,
  RANGE = (1 << 23) - 1,  // just below 128
  FILTER = 3,
  WINDOW = FILTER * FILTER,
  SIDE_MAX = 32,
  ROW_MAX = 1024,  // filters x places
  CLASSES_MAX = 256,
  BATCH_MAX = 1024,
  SHIFT_MAX = 24,
  PASSES_MAX = 1 << 16,
};

// The input's first bytes, little-endian; as in fixed-train.
typedef struct {
  uint32_t side, filters, classes;
  uint32_t train, test;  // samples
  uint32_t pass_first, passes;
  uint32_t batch;          // samples between two steps
  uint32_t rate_shift;     // a step is the batch's summed gradient / 2^rate_shift
  uint32_t pixel_shift;    // a sample's byte b stands for b / 2^pixel_shift
  uint32_t seed;
  uint32_t weights_given;  // 1: the weights follow; 0: they are drawn from the seed
} Header;

typedef struct {
  uint32_t train_right, test_right;
} Report;

typedef struct {
  int32_t *filter, *filter_bias, *dense, *dense_bias;  // rows are the receiving units
} Network;

static Header shape;
static Network network;
static int64_t *gradient;  // as the weights lie
static uint32_t weights_count, pixels_count, pooled, places, row;
static int32_t pixels[SIDE_MAX * SIDE_MAX], hidden[ROW_MAX], hidden_error[ROW_MAX];
static uint32_t origin[ROW_MAX];  // where the largest of 2 x 2 has its window
static int32_t scores[CLASSES_MAX];

static int32_t clamp(int64_t value) {
  return (int32_t)(value > RANGE ? RANGE : value < -RANGE ? -RANGE : value);
}

static int64_t rounded(int64_t value, uint32_t shift) {
  return shift ? (value + ((int64_t)1 << (shift - 1))) >> shift : value;
}

// ---- random numbers: splitmix64, so that a pass depends on the seed and its number alone

static uint64_t random_state;

static void seed_random(uint32_t stream) {
  random_state = (uint64_t)shape.seed << 32 | stream;
}

static uint32_t random_below(uint32_t bound) {
  random_state += 0x9e3779b97f4a7c15;
  uint64_t z = random_state;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return (uint32_t)(((z ^ z >> 31) >> 32) * bound >> 32);
}

static uint32_t square_root(uint32_t number) {
  uint32_t root = 0;
  while ((uint64_t)(root + 1) * (root + 1) <= number) root++;
  return root;
}

// Uniform in +-1 / sqrt(number of inputs).
static void draw(int32_t *weights, uint32_t units, uint32_t inputs) {
  uint32_t half = ONE / square_root(inputs);
  for (uint32_t i = 0; i < units * inputs; i++)
    weights[i] = (int32_t)random_below(2 * half + 1) - (int32_t)half;
}

// ---- forward

static int32_t filtered(const int32_t *filter, int32_t bias, uint32_t at) {
  int64_t sum = (int64_t)bias << FRACTION;
  for (uint32_t y = 0; y < FILTER; y++)
    for (uint32_t x = 0; x < FILTER; x++)
      sum += (int64_t)filter[y * FILTER + x] * pixels[at + y * shape.side + x];
  return clamp(rounded(sum, FRACTION));
}

// The first of equals counts: left before right, above before below.
static void pool(uint32_t unit, const int32_t *filter, int32_t bias) {
  for (uint32_t y = 0; y < pooled; y++)
    for (uint32_t x = 0; x < pooled; x++, unit++) {
      uint32_t corner = 2 * y * shape.side + 2 * x;
      const uint32_t at[4] = {corner, corner + 1, corner + shape.side, corner + shape.side + 1};
      hidden[unit] = INT32_MIN;
      for (uint32_t i = 0; i < 4; i++) {
        int32_t value = filtered(filter, bias, at[i]);
        if (value > hidden[unit]) hidden[unit] = value, origin[unit] = at[i];
      }
      if (hidden[unit] < 0) hidden[unit] = 0;
    }
}

static uint32_t forward(const uint8_t *sample) {
  for (uint32_t i = 0; i < pixels_count; i++)
    pixels[i] = (int32_t)sample[i] << (FRACTION - shape.pixel_shift);
  for (uint32_t i = 0; i < shape.filters; i++)
    pool(i * places, network.filter + i * WINDOW, network.filter_bias[i]);
  uint32_t best = 0;
  for (uint32_t unit = 0; unit < shape.classes; unit++) {
    int64_t sum = (int64_t)network.dense_bias[unit] << FRACTION;
    const int32_t *weights = network.dense + unit * row;
    for (uint32_t i = 0; i < row; i++) sum += (int64_t)weights[i] * hidden[i];
    scores[unit] = clamp(rounded(sum, FRACTION));
    if (scores[unit] > scores[best]) best = unit;
  }
  return best;
}

// ---- backward

// 2^-x for x >= 0: halvings, and a parabola through the exact values at 0, 1/2 and 1.
static int32_t power_of_half(int64_t x) {
  int64_t halvings = x >> FRACTION, part = x & (ONE - 1);
  if (halvings > 30) return 0;
  int64_t value = ONE - rounded(part * (44012 - rounded(part * 11244, FRACTION)), FRACTION);
  return (int32_t)(value >> halvings);
}

// Scores become errors: softmax to the base 2, minus one at the label.
static void scores_to_errors(uint32_t best, uint8_t label) {
  int64_t highest = scores[best], sum = 0;
  for (uint32_t i = 0; i < shape.classes; i++)
    sum += scores[i] = power_of_half(highest - scores[i]);
  for (uint32_t i = 0; i < shape.classes; i++)
    scores[i] = (int32_t)(((int64_t)scores[i] << FRACTION) / sum) - (i == label ? ONE : 0);
}

static void add_filter_gradient(uint32_t filter) {
  int64_t sums[WINDOW] = {0}, bias = 0;
  for (uint32_t unit = filter * places; unit < (filter + 1) * places; unit++) {
    const int32_t *window = pixels + origin[unit];
    for (uint32_t i = 0; i < WINDOW; i++)
      sums[i] += (int64_t)hidden_error[unit] * window[i / FILTER * shape.side + i % FILTER];
    bias += hidden_error[unit];
  }
  for (uint32_t i = 0; i < WINDOW; i++)
    gradient[filter * WINDOW + i] += (int64_t)clamp(rounded(sums[i], FRACTION)) << FRACTION;
  gradient[shape.filters * WINDOW + filter] += (int64_t)clamp(bias) << FRACTION;
}

static void learn(const uint8_t *sample) {
  scores_to_errors(forward(sample), sample[pixels_count]);
  for (uint32_t i = 0; i < row; i++) {
    int64_t sum = 0;
    for (uint32_t unit = 0; unit < shape.classes; unit++)
      sum += (int64_t)scores[unit] * network.dense[unit * row + i];
    hidden_error[i] = hidden[i] > 0 ? clamp(rounded(sum, FRACTION)) : 0;
  }
  for (uint32_t i = 0; i < shape.filters; i++) add_filter_gradient(i);
  int64_t *sums = gradient + shape.filters * (WINDOW + 1);
  for (uint32_t unit = 0; unit < shape.classes; unit++)
    for (uint32_t i = 0; i < row; i++) *sums++ += (int64_t)scores[unit] * hidden[i];
  for (uint32_t unit = 0; unit < shape.classes; unit++)
    *sums++ += (int64_t)scores[unit] << FRACTION;
}

static void step(void) {
  int32_t *weights = network.filter;
  for (uint32_t i = 0; i < weights_count; i++) {
    weights[i] = clamp(weights[i] - rounded(gradient[i], FRACTION + shape.rate_shift));
    gradient[i] = 0;
  }
}

static void train_pass(const uint8_t *samples, uint32_t *order, uint32_t pass) {
  seed_random(pass + 1);
  for (uint32_t i = 0; i < shape.train; i++) order[i] = i;
  for (uint32_t i = shape.train; i > 1; i--) {
    uint32_t other = random_below(i), kept = order[i - 1];
    order[i - 1] = order[other], order[other] = kept;
  }
  for (uint32_t i = 0; i < shape.train; i++) {
    learn(samples + (size_t)order[i] * (pixels_count + 1));
    if ((i + 1) % shape.batch == 0 || i + 1 == shape.train) step();
  }
}

static uint32_t count_right(const uint8_t *samples, uint32_t count) {
  uint32_t right = 0;
  for (uint32_t i = 0; i < count; i++, samples += pixels_count + 1)
    right += forward(samples) == samples[pixels_count];
  return right;
}

// ---- input and output

static void require(int condition) {
  if (!condition) __builtin_trap();
}

static const uint8_t *read_header(const uint8_t *input, uint32_t size) {
  require(size >= sizeof shape);
  __builtin_memcpy(&shape, input, sizeof shape);
  require(shape.side >= FILTER + 1 && shape.side <= SIDE_MAX);
  pooled = (shape.side - FILTER + 1) / 2, places = pooled * pooled;
  require(shape.filters >= 1 && shape.filters <= ROW_MAX / places);
  row = shape.filters * places, pixels_count = shape.side * shape.side;
  require(shape.classes - 2 < CLASSES_MAX - 1 && shape.batch - 1 < BATCH_MAX);
  require(shape.rate_shift <= SHIFT_MAX && shape.pixel_shift <= FRACTION);
  require(shape.passes <= PASSES_MAX && shape.pass_first <= PASSES_MAX);
  require(shape.weights_given <= 1);
  weights_count = shape.filters * (WINDOW + 1) + shape.classes * (row + 1);
  uint64_t samples = (uint64_t)shape.train + shape.test;
  require(size == sizeof shape + shape.weights_given * 4 * (uint64_t)weights_count +
                      samples * (pixels_count + 1));
  return input + sizeof shape;
}

static const uint8_t *read_weights(int32_t *weights, const uint8_t *given) {
  network.filter = weights;
  network.filter_bias = network.filter + shape.filters * WINDOW;
  network.dense = network.filter_bias + shape.filters;
  network.dense_bias = network.dense + shape.classes * row;
  if (shape.weights_given) {
    __builtin_memcpy(weights, given, weights_count * 4);
    for (uint32_t i = 0; i < weights_count; i++) require(weights[i] == clamp(weights[i]));
    return given + weights_count * 4;
  }
  seed_random(0);
  draw(network.filter, shape.filters, WINDOW);
  draw(network.dense, shape.classes, row);
  return given;
}

static void check_labels(const uint8_t *samples) {
  for (uint32_t i = 0; i < shape.train + shape.test; i++)
    require(samples[(size_t)i * (pixels_count + 1) + pixels_count] < shape.classes);
}

EXPORT("run") uint64_t run(const uint8_t *input, uint32_t size) {
  const uint8_t *rest = read_header(input, size);
  Report *report = take(sizeof *report + weights_count * 4);
  const uint8_t *samples = read_weights((int32_t *)(report + 1), rest);
  check_labels(samples);
  gradient = take(weights_count * sizeof *gradient);
  uint32_t *order = take(shape.train * sizeof *order);
  for (uint32_t pass = 0; pass < shape.passes; pass++)
    train_pass(samples, order, shape.pass_first + pass);
  report->train_right = count_right(samples, shape.train);
  report->test_right = count_right(samples + (size_t)shape.train * (pixels_count + 1), shape.test);
  return output(report, sizeof *report + weights_count * 4);
}
