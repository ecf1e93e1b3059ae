// Validates a body as WebAssembly has it and lowers it to the words of threaded.h, in one pass.
// An operand is in its slot, or still in a local, or a constant, until something needs its slot.
enum { I32 = 0x7f, I64 = 0x7e, FUNCREF = 0x70, EXTERNREF = 0x6f, ANY = 0 };
enum { IN_SLOT, IN_LOCAL, CONSTANT };
typedef struct {
  u8 type, place;
  u32 value;
} operand_t;
typedef struct {
  const u8 *params, *results;
  u32 params_count, results_count, height;
  u32 *begin, *ends, *otherwise;  // where it is, and chains of words that wait for an address
  u8 opcode, is_dead;
} label_t;
#define LOCAL(number) (((u8 *)LOCALS_TOP)[-1 - (s32)(number)])
#define OPERANDS ((operand_t *)OPERANDS_AT)
#define LABELS ((label_t *)LABELS_AT)
#define OPERANDS_MAX 7168u  // and a few that are only looked at
#define LABELS_MAX 2048u

static const u8 *at, *at_end;
static u32 *code, *last_into;  // the word that says where the newest operand goes
// In a frame: locals, or in the end results; where to go on; operands.
static u32 operands, operands_most, locals_count, operands_first, labels_count;

static void check(u32 holds) {
  if (RARE(!holds))
    give_up(NOT_VALID);
}
static u32 byte(void) {
  check(at < at_end);
  return *at++;
}
static u64 leb(u32 bits, u32 is_signed) {
  u64 value = 0;
  for (u32 shift = 0;; shift += 7) {
    u64 part = byte();
    value |= (part & 127) << shift;
    if (shift + 7 >= bits) {
      // The last byte of the most there may be: what is too much only repeats the sign.
      u32 used = bits - shift;
      u32 sign = is_signed && part >> (used - 1) & 1;
      check(part < 128 && (part & 127) >> used == (sign ? 127u >> used : 0));
      return sign ? value | (used == 64 ? 0 : ~0ull << (bits - 1)) : value;
    }
    if (part < 128)
      return is_signed && part & 64 ? value | ~0ull << (shift + 7) : value;
  }
}
static u32 number(void) {
  if (at < at_end && *at < 128)
    return *at++;
  return (u32)leb(32, 0);
}
static u32 below(u32 count) {
  u32 value = number();
  check(value < count);
  return value;
}
static u32 value_type(void) {
  u32 type = byte();
  if (type == 0x7d || type == 0x7c || type == 0x7b)
    give_up(NOT_PROVABLE);
  check(type == I32 || type == I64 || type == FUNCREF || type == EXTERNREF);
  return type;
}
static u32 reference_type(void) {
  u32 type = byte();
  check(type == FUNCREF || type == EXTERNREF);
  return type;
}

// ---- words ----
static void put(u32 value) {
  if (RARE((u32)code >= AREA_END))
    give_up(TOO_LARGE);
  *code++ = value;
}
static void op(u32 handler) {
  if (!handlers[handler])
    give_up(NOT_PROVABLE);
  put((u32)handlers[handler]);
}
static void waits(u32 **chain) {
  put((u32)*chain);
  *chain = code - 1;
}
static void arrives(u32 **chain) {
  for (u32 *each = *chain; each;) {
    u32 *next = (u32 *)*each;
    *each = (u32)code;
    each = next;
  }
  *chain = 0;
}

// ---- operands ----
static u32 slot(u32 operand) { return (operands_first + operand) * 8; }
static void settle(u32 operand) {
  operand_t *it = &OPERANDS[operand];
  if (it->place == IN_LOCAL) {
    op(H_MOVE);
    put(slot(operand));
    put(it->value * 8);
  } else if (it->place == CONSTANT) {
    op(it->type == I64 ? H_SET_64 : H_SET_32);
    put(slot(operand));
    put(it->value);
    if (it->type == I64)
      put((u32)((s32)it->value >> 31));
  } else
    return;
  it->place = IN_SLOT;
  last_into = 0;
}
static void settle_all(void) {
  for (u32 each = 0; each < operands; each++)
    settle(each);
  last_into = 0;
}
static void push_at(u32 type, u32 place, u32 value) {
  if (operands >= OPERANDS_MAX)
    give_up(TOO_LARGE);
  OPERANDS[operands++] = (operand_t){(u8)type, (u8)place, value};
  if (operands > operands_most)
    operands_most = operands;
}
static void push(u32 type) { push_at(type, IN_SLOT, 0); }
static u32 pop_any(void) {
  label_t *label = &LABELS[labels_count - 1];
  if (operands == label->height) {
    check(label->is_dead);  // whatever it would be, it is never executed
    return ANY;
  }
  return OPERANDS[--operands].type;
}
static void pop(u32 type) {
  u32 found = pop_any();
  check(found == type || found == ANY || type == ANY);
}
static void pop_all(const u8 *types, u32 count) {
  while (count)
    pop(types[--count]);
}
static void push_all(const u8 *types, u32 count) {
  for (u32 each = 0; each < count; each++)
    push(types[each]);
}
// Operands just popped, of these types after all, and where they are.
static void push_again(const u8 *types, u32 count) {
  for (u32 each = 0; each < count; each++) {
    if (operands >= OPERANDS_MAX)
      give_up(TOO_LARGE);
    OPERANDS[operands++].type = types[each];
  }
  if (operands > operands_most)
    operands_most = operands;
}
// Where the operand at a height is read from; it may be above the stack just popped.
static u32 from(u32 operand) {
  operand_t *it = &OPERANDS[operand];
  if (it->place == IN_LOCAL)
    return it->value * 8;
  settle(operand);
  return slot(operand);
}
static void into(u32 type) {
  put(slot(operands));
  u32 *where = code - 1;
  push(type);
  last_into = where;
}
static void dead(void) {
  label_t *label = &LABELS[labels_count - 1];
  label->is_dead = 1;
  operands = label->height;
  last_into = 0;
}

// ---- control ----
static const u8 *carried(label_t *label, u32 *count) {
  *count = label->opcode == 3 ? label->params_count : label->results_count;
  return label->opcode == 3 ? label->params : label->results;
}
static void open(u8 opcode, const u8 *params, u32 params_count, const u8 *results, u32 results_count) {
  if (labels_count >= LABELS_MAX)
    give_up(TOO_LARGE);
  LABELS[labels_count++] = (label_t){.params = params, .results = results, .params_count = params_count,
                                     .results_count = results_count, .height = operands, .begin = code,
                                     .opcode = opcode};
  push_all(params, params_count);
}
static void block(u32 opcode) {
  const u8 *params = 0, *results = 0;
  u32 params_count = 0, results_count = 0;
  if (at < at_end && *at == 0x40)
    at++;
  else if (at < at_end && *at >= 0x40 && *at < 0x80) {
    results = at;
    results_count = 1;
    value_type();
  } else {
    u64 kind = leb(33, 1);
    check(kind < types_count);
    type_t *type = &TYPES[kind];
    params = type->params, results = type->results;
    params_count = type->params_count, results_count = type->results_count;
  }
  u32 condition = 0;
  if (opcode == 4) {
    pop(I32);
    condition = from(operands);
  }
  pop_all(params, params_count);
  operands += params_count;  // settled below, where they are
  settle_all();
  operands -= params_count;
  u32 *otherwise = 0;
  if (opcode == 4) {
    op(H_GO_UNLESS);
    put(condition);
    waits(&otherwise);
  }
  open((u8)opcode, params, params_count, results, results_count);
  LABELS[labels_count - 1].otherwise = otherwise;
}
// Moves what a branch carries to where its label expects it, and goes there.
static void go_to(label_t *label) {
  u32 count;
  carried(label, &count);
  u32 first = operands - count, to = label == LABELS ? 0 : slot(label->height);
  for (u32 each = 0; each < count; each++)
    if (slot(first + each) != to + 8 * each) {
      op(H_MOVE);
      put(to + 8 * each);
      put(slot(first + each));
    }
  if (label == LABELS) {
    op(H_LEAVE);
    put(operands_first * 8 - 8);
  } else {
    op(H_GO);
    if (label->opcode == 3)
      put((u32)label->begin);
    else
      waits(&label->ends);
  }
}
static void settle_top(u32 count) {
  for (u32 each = operands - count; each < operands; each++)
    settle(each);
  last_into = 0;
}
static label_t *label_at(void) { return &LABELS[labels_count - 1 - below(labels_count)]; }
static void branch_if(void) {
  pop(I32);
  u32 condition = from(operands);
  label_t *label = label_at();
  u32 *past = 0, count;
  const u8 *types = carried(label, &count);
  pop_all(types, count);
  push_again(types, count);
  settle_top(count);
  op(H_GO_UNLESS);
  put(condition);
  waits(&past);
  go_to(label);
  arrives(&past);
}
static void branch_table(void) {
  pop(I32);
  u32 condition = from(operands), count = number(), arity = 0;
  check(count < (1u << 20));
  const u8 *labels = at;
  u32 *table = 0;
  for (u32 each = 0; each <= count; each++) {
    u32 carries, before = operands;
    label_t *label = label_at();
    const u8 *types = carried(label, &carries);
    pop_all(types, carries);
    operands = before;
    check(each == 0 || carries == arity);
    arity = carries;
    settle_top(arity);
  }
  op(H_GO_BY);
  put(condition);
  put(count);
  table = code;
  for (u32 each = 0; each <= count; each++)
    put(0);
  const u8 *behind = at;
  at = labels;
  for (u32 each = 0; each <= count; each++) {
    table[each] = (u32)code;
    go_to(label_at());
  }
  at = behind;
  dead();
}
static void close(u32 opcode) {
  label_t *label = &LABELS[labels_count - 1];
  pop_all(label->results, label->results_count);
  check(operands == label->height);
  push_again(label->results, label->results_count);
  settle_all();
  if (opcode == 0x0b && labels_count == 1) {
    go_to(label);
    labels_count = 0;
    return;
  }
  operands = label->height;
  if (opcode == 5) {
    check(label->opcode == 4);
    op(H_GO);
    waits(&label->ends);
    arrives(&label->otherwise);
    label->opcode = 5;
    label->is_dead = 0;
    push_all(label->params, label->params_count);
    return;
  }
  if (label->opcode == 4) {
    check(label->params_count == label->results_count);
    for (u32 each = 0; each < label->params_count; each++)
      check(label->params[each] == label->results[each]);
  }
  arrives(&label->otherwise);
  arrives(&label->ends);
  const u8 *results = label->results;
  u32 count = label->results_count;
  labels_count--;
  push_all(results, count);
}
static void leave(void) {
  label_t *label = LABELS;
  pop_all(label->results, label->results_count);
  push_again(label->results, label->results_count);
  settle_top(label->results_count);
  go_to(label);
  dead();
}
