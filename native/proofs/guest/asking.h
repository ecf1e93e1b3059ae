// Bytes from the host, all of them or none (protocols/18 §3).
static void read_exactly(u32 to, u32 size) {
  for (; size; size -= 512) {
    u32 part = size < 512 ? size : 512;
    if (ecall(ECALL_READ, 0, to, part, 0, 0) != part)
      give_up(1);
    to += part;
    if (part < 512)
      break;
  }
}
