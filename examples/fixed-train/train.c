// Trains a network of one hidden layer on the data it is given, in integers only (README.md).
//
// Numbers are Q16: an int32 n stands for n / 65536. Products and sums are int64; every result is
// rounded once, half up, and clamped to +-RANGE; inputs are below 2^24. A sum of at most 1,024
// products, over a row or over a batch, stays below 2^(10 + 23 + 24): nothing overflows.
#include "../ambient.h"

enum {
  FRACTION = 16,
  ONE = 1 << FRACTION,
  RANGE = (1 << 23) - 1,  // just below 128
  UNITS_MAX = 1024,
  CLASSES_MAX = 256,
  BATCH_MAX = 1024,
  SHIFT_MAX = 24,
  PASSES_MAX = 1 << 16,
};

// The input's first bytes, little-endian.
typedef struct {
  uint32_t inputs, hidden, classes;
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
  int32_t *first, *first_bias, *second, *second_bias;  // rows are the receiving units
} Network;

static Header shape;
static Network network;
static int64_t *gradient;  // as the weights lie
static uint32_t weights_count;
static int32_t pixels[UNITS_MAX], hidden[UNITS_MAX], hidden_error[UNITS_MAX];
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

static void read_pixels(const uint8_t *sample) {
  for (uint32_t i = 0; i < shape.inputs; i++)
    pixels[i] = (int32_t)sample[i] << (FRACTION - shape.pixel_shift);
}

static void layer(const int32_t *weights, const int32_t *bias, const int32_t *from, uint32_t inputs,
                  int32_t *to, uint32_t units) {
  for (uint32_t unit = 0; unit < units; unit++) {
    int64_t sum = (int64_t)bias[unit] << FRACTION;
    const int32_t *row = weights + unit * inputs;
    for (uint32_t i = 0; i < inputs; i++) sum += (int64_t)row[i] * from[i];
    to[unit] = clamp(rounded(sum, FRACTION));
  }
}

static uint32_t forward(const uint8_t *sample) {
  read_pixels(sample);
  layer(network.first, network.first_bias, pixels, shape.inputs, hidden, shape.hidden);
  for (uint32_t i = 0; i < shape.hidden; i++)
    if (hidden[i] < 0) hidden[i] = 0;
  layer(network.second, network.second_bias, hidden, shape.hidden, scores, shape.classes);
  uint32_t best = 0;
  for (uint32_t i = 1; i < shape.classes; i++)
    if (scores[i] > scores[best]) best = i;
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

static int64_t *add_gradient(int64_t *sums, const int32_t *errors, uint32_t units,
                             const int32_t *from, uint32_t inputs) {
  for (uint32_t unit = 0; unit < units; unit++)
    for (uint32_t i = 0; i < inputs; i++) *sums++ += (int64_t)errors[unit] * from[i];
  for (uint32_t unit = 0; unit < units; unit++) *sums++ += (int64_t)errors[unit] << FRACTION;
  return sums;
}

static void learn(const uint8_t *sample) {
  scores_to_errors(forward(sample), sample[shape.inputs]);
  for (uint32_t i = 0; i < shape.hidden; i++) {
    int64_t sum = 0;
    for (uint32_t unit = 0; unit < shape.classes; unit++)
      sum += (int64_t)scores[unit] * network.second[unit * shape.hidden + i];
    hidden_error[i] = hidden[i] > 0 ? clamp(rounded(sum, FRACTION)) : 0;
  }
  int64_t *sums = add_gradient(gradient, hidden_error, shape.hidden, pixels, shape.inputs);
  add_gradient(sums, scores, shape.classes, hidden, shape.hidden);
}

static void step(void) {
  int32_t *weights = network.first;
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
    learn(samples + (size_t)order[i] * (shape.inputs + 1));
    if ((i + 1) % shape.batch == 0 || i + 1 == shape.train) step();
  }
}

static uint32_t count_right(const uint8_t *samples, uint32_t count) {
  uint32_t right = 0;
  for (uint32_t i = 0; i < count; i++, samples += shape.inputs + 1)
    right += forward(samples) == samples[shape.inputs];
  return right;
}

// ---- input and output

static void require(int condition) {
  if (!condition) __builtin_trap();
}

static const uint8_t *read_header(const uint8_t *input, uint32_t size) {
  require(size >= sizeof shape);
  __builtin_memcpy(&shape, input, sizeof shape);
  require(shape.inputs - 1 < UNITS_MAX && shape.hidden - 1 < UNITS_MAX);
  require(shape.classes - 2 < CLASSES_MAX - 1 && shape.batch - 1 < BATCH_MAX);
  require(shape.rate_shift <= SHIFT_MAX && shape.pixel_shift <= FRACTION);
  require(shape.passes <= PASSES_MAX && shape.pass_first <= PASSES_MAX);
  require(shape.weights_given <= 1);
  weights_count = shape.hidden * (shape.inputs + 1) + shape.classes * (shape.hidden + 1);
  uint64_t samples = (uint64_t)shape.train + shape.test;
  require(size == sizeof shape + shape.weights_given * 4 * (uint64_t)weights_count +
                      samples * (shape.inputs + 1));
  return input + sizeof shape;
}

static const uint8_t *read_weights(int32_t *weights, const uint8_t *given) {
  network.first = weights;
  network.first_bias = network.first + shape.hidden * shape.inputs;
  network.second = network.first_bias + shape.hidden;
  network.second_bias = network.second + shape.classes * shape.hidden;
  if (shape.weights_given) {
    __builtin_memcpy(weights, given, weights_count * 4);
    for (uint32_t i = 0; i < weights_count; i++) require(weights[i] == clamp(weights[i]));
    return given + weights_count * 4;
  }
  seed_random(0);
  draw(network.first, shape.hidden, shape.inputs);
  draw(network.second, shape.classes, shape.hidden);
  return given;
}

static void check_labels(const uint8_t *samples) {
  for (uint32_t i = 0; i < shape.train + shape.test; i++)
    require(samples[(size_t)i * (shape.inputs + 1) + shape.inputs] < shape.classes);
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
  report->test_right = count_right(samples + (size_t)shape.train * (shape.inputs + 1), shape.test);
  return output(report, sizeof *report + weights_count * 4);
}
