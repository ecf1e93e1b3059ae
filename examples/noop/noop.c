// Does nothing: what is left when it runs is the price of the mesh itself.
#include "../ambient.h"

EXPORT("run") uint64_t run(const uint8_t *input, uint32_t size) {
  (void)size;
  return output(input, 0);
}
