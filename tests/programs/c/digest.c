// Hashes standard input with the host's functions and checks a signature with its verifier.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FROM_HOST(name) __attribute__((import_module("ambient_crypto"), import_name(name)))
FROM_HOST("sha256") void sha256(const void *data, size_t size, uint8_t out[32]);
FROM_HOST("blake2b_256") void blake2b_256(const void *data, size_t size, uint8_t out[32]);
FROM_HOST("ed25519_verify")
int ed25519_verify(const uint8_t key[32], const void *message, size_t size, const uint8_t sig[64]);

static uint8_t input[1 << 20];

static void show(const char *name, const uint8_t digest[32]) {
  printf("%s ", name);
  for (int at = 0; at < 32; at++) printf("%02x", digest[at]);
  printf("\n");
}

int main(void) {
  size_t size = fread(input, 1, sizeof input, stdin);
  uint8_t digest[32];
  sha256(input, size, digest);
  show("sha256", digest);
  blake2b_256(input, size, digest);
  show("blake2b", digest);
  if (size < 96) return 1;
  printf("signature %s\n",
         ed25519_verify(input, input + 96, size - 96, input + 32) ? "holds" : "does not hold");
  return 0;
}
