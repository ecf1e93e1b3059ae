// Five kernels, built for WebAssembly and for the machine from this one file (wasm_kernels.py).
// Each computes a checksum that does not depend on where it runs.
#include <stddef.h>
#include <stdint.h>

#ifdef __wasm__
#include "../../examples/ambient.h"
#else
#define EXPORT(name) __attribute__((visibility("default")))
#endif

#include "sha256.h"

static uint32_t random_state;

static uint32_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  return random_state ^= random_state << 5;
}

// ---- SHA-256 of `size` MiB

static uint8_t text[1 << 16];

EXPORT("sha256") uint64_t sha256(uint32_t size) {
  for (uint32_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)(i * 7);
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  for (uint32_t part = 0; part < size * 16; part++)
    for (uint32_t at = 0; at < sizeof text; at += 64) compress(state, text + at);
  return (uint64_t)state[0] << 32 | state[1];
}

// ---- `size` products of 256x256 matrices of int8

enum { SIDE = 256 };
static int8_t left[SIDE * SIDE], right[SIDE * SIDE];
static int32_t product[SIDE * SIDE];

EXPORT("matmul_int8") uint64_t matmul_int8(uint32_t size) {
  random_state = 1;
  for (int i = 0; i < SIDE * SIDE; i++) {
    left[i] = (int8_t)next_random();
    right[i] = (int8_t)next_random();
  }
  uint64_t sum = 0;
  for (uint32_t turns = 0; turns < size; turns++) {
    for (int row = 0; row < SIDE; row++)
      for (int column = 0; column < SIDE; column++) {
        int32_t dot = 0;
        for (int i = 0; i < SIDE; i++) dot += left[row * SIDE + i] * right[column * SIDE + i];
        product[row * SIDE + column] = dot;
      }
    for (int i = 0; i < SIDE * SIDE; i++) sum = sum * 31 + (uint32_t)product[i];
    left[turns % (SIDE * SIDE)] ^= 1;
  }
  return sum;
}

// ---- `size` inputs through a 784-256-256-10 network of f32

static float first[784 * 256], second[256 * 256], third[256 * 10];
static float image[784], hidden[256], deeper[256], scores[10];

static float random_float(void) {
  return (float)(int32_t)(next_random() & 0xffff) / 65536.0f - 0.5f;
}

static void layer(const float *weights, const float *from, int inputs, float *to, int units) {
  for (int unit = 0; unit < units; unit++) to[unit] = 0;
  for (int i = 0; i < inputs; i++)
    for (int unit = 0; unit < units; unit++) to[unit] += from[i] * weights[i * units + unit];
}

static void rectify(float *values, int count) {
  for (int i = 0; i < count; i++) values[i] = values[i] > 0 ? values[i] : 0;
}

EXPORT("mlp_f32") uint64_t mlp_f32(uint32_t size) {
  random_state = 7;
  for (int i = 0; i < 784 * 256; i++) first[i] = random_float() * 0.1f;
  for (int i = 0; i < 256 * 256; i++) second[i] = random_float() * 0.1f;
  for (int i = 0; i < 256 * 10; i++) third[i] = random_float();
  uint64_t sum = 0;
  for (uint32_t turns = 0; turns < size; turns++) {
    for (int i = 0; i < 784; i++) image[i] = random_float();
    layer(first, image, 784, hidden, 256);
    rectify(hidden, 256);
    layer(second, hidden, 256, deeper, 256);
    rectify(deeper, 256);
    layer(third, deeper, 256, scores, 10);
    for (int i = 0; i < 10; i++) {
      uint32_t bits;
      __builtin_memcpy(&bits, &scores[i], sizeof bits);
      sum = sum * 31 + bits;
    }
  }
  return sum;
}

// ---- `size` steps of the sun and four planets, f64

typedef struct {
  double x, y, z, vx, vy, vz, mass;
} Body;

static const Body START[5] = {
    {0, 0, 0, 0, 0, 0, 39.47841760435743},
    {4.84143144246472090, -1.16032004402742839, -0.103622044471123109, 0.606326392995832,
     2.81198684491626, -0.02521836165988763, 0.037693674870389493},
    {8.34336671824457987, 4.12479856412430479, -0.403523417114321381, -1.01077434617879,
     1.82566237123041, 0.008415761376584154, 0.011286326131968767},
    {12.8943695621391310, -15.1111514016986312, -0.223307578892655734, 1.08279100644154,
     0.868713018169608, -0.010832637401363636, 0.0017237240570597112},
    {15.3796971148509165, -25.9193146099879641, 0.179258772950371181, 0.979090732243898,
     0.594698998647676, -0.034755955550407837, 0.0020336868699246304}};

EXPORT("nbody_f64") uint64_t nbody_f64(uint32_t size) {
  Body bodies[5];
  __builtin_memcpy(bodies, START, sizeof bodies);
  for (uint32_t turns = 0; turns < size; turns++) {
    for (int i = 0; i < 5; i++)
      for (int j = i + 1; j < 5; j++) {
        Body *one = &bodies[i], *other = &bodies[j];
        double dx = one->x - other->x, dy = one->y - other->y, dz = one->z - other->z;
        double square = dx * dx + dy * dy + dz * dz;
        double pull = 0.001 / (square * __builtin_sqrt(square));
        one->vx -= dx * other->mass * pull;
        one->vy -= dy * other->mass * pull;
        one->vz -= dz * other->mass * pull;
        other->vx += dx * one->mass * pull;
        other->vy += dy * one->mass * pull;
        other->vz += dz * one->mass * pull;
      }
    for (int i = 0; i < 5; i++) {
      bodies[i].x += 0.001 * bodies[i].vx;
      bodies[i].y += 0.001 * bodies[i].vy;
      bodies[i].z += 0.001 * bodies[i].vz;
    }
  }
  uint64_t sum = 0, bits;
  for (int i = 0; i < 5; i++) {
    __builtin_memcpy(&bits, &bodies[i].x, sizeof bits);
    sum = sum * 31 + bits;
  }
  return sum;
}

// ---- fib(size), by calls

static uint32_t fib_of(uint32_t n) { return n < 2 ? n : fib_of(n - 1) + fib_of(n - 2); }

EXPORT("fib") uint64_t fib(uint32_t size) { return fib_of(size); }

#ifdef __wasm__
// Input: number of the kernel and its size, u32 each. Output: the checksum.
EXPORT("run") uint64_t run(const uint32_t *input, uint32_t size) {
  static uint64_t (*const KERNELS[])(uint32_t) = {sha256, matmul_int8, mlp_f32, nbody_f64, fib};
  static uint64_t sum;
  if (size != 8 || input[0] >= sizeof KERNELS / sizeof *KERNELS) __builtin_trap();
  sum = KERNELS[input[0]](input[1]);
  return output(&sum, sizeof sum);
}
#endif
