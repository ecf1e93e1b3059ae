// Turns letters into upper case: `run` is given the task's input, and what it gives is the output.
// Both are a place in memory and a size; `alloc` makes room for the input.
export function alloc(size: i32): i32 {
  return i32(heap.alloc(size));
}

export function run(address: i32, size: i32): i64 {
  for (let at = address; at < address + size; at++) {
    const letter = load<u8>(at);
    if (letter >= 0x61 && letter <= 0x7a) store<u8>(at, letter - 0x20);
  }
  return (i64(address) << 32) | i64(size);
}
