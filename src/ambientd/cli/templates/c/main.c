// Turns letters into upper case. The ambient ABI: `run` is called once with the whole input.
#include "ambient.h"

EXPORT("run") uint64_t run(const uint8_t *input, uint32_t length) {
  uint8_t *answer = take(length);
  for (uint32_t i = 0; i < length; i++) {
    uint8_t letter = input[i];
    answer[i] = letter >= 'a' && letter <= 'z' ? (uint8_t)(letter - 'a' + 'A') : letter;
  }
  return output(answer, length);
}
