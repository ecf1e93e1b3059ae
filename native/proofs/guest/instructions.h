// What each instruction takes, gives and becomes; a body from its first to its last.
static void binary(u32 opcode, u32 type, u32 result) {
  pop(type);
  pop(type);
  if (OPERANDS[operands + 1].place == CONSTANT) {
    u32 left = from(operands), constant = OPERANDS[operands + 1].value;
    op(256 + opcode);
    into(result);
    put(left);
    put(constant);
  } else {
    u32 left = from(operands), right = from(operands + 1);
    op(opcode);
    into(result);
    put(left);
    put(right);
  }
}
static void unary(u32 opcode, u32 type, u32 result) {
  pop(type);
  u32 operand = from(operands);
  op(opcode);
  into(result);
  put(operand);
}
static u32 offset(u32 bytes_log2) {
  check(number() <= bytes_log2);
  return number();
}
static void load(u32 opcode) {
  static const u8 LOG2[] = {2, 3, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 2, 2};
  u32 from_offset = offset(LOG2[opcode - 0x28]);
  unary(opcode, I32, opcode == 0x29 || opcode >= 0x30 ? I64 : I32);
  u32 *newest = last_into;
  put(from_offset);
  last_into = newest;
}
static void store(u32 opcode) {
  static const u8 LOG2[] = {2, 3, 0, 0, 0, 1, 0, 1, 2};
  u32 to_offset = offset(LOG2[opcode - 0x36]);
  pop(opcode == 0x37 || opcode >= 0x3c ? I64 : I32);
  pop(I32);
  u32 address = from(operands), value = from(operands + 1);
  op(opcode);
  put(address);
  put(value);
  put(to_offset);
}
static void constant(u32 type, u64 value) {
  if (value == (u64)(s64)(s32)value || type == I32) {
    push_at(type, CONSTANT, (u32)value);
    return;
  }
  op(H_SET_64);
  into(type);
  put((u32)value);
  put((u32)(value >> 32));
}
static void set_local(u32 opcode, u32 *newest) {
  u32 local = below(locals_count), type = LOCAL(local);
  pop(type);
  u32 kept = operands;
  for (u32 each = 0; each < kept; each++)
    if (OPERANDS[each].place == IN_LOCAL && OPERANDS[each].value == local) {
      settle(each);
      newest = 0;
    }
  operand_t *value = &OPERANDS[operands];
  if (value->place == IN_SLOT && newest)
    *newest = local * 8;
  else if (value->place == CONSTANT) {
    op(type == I64 ? H_SET_64 : H_SET_32);
    put(local * 8);
    put(value->value);
    if (type == I64)
      put((u32)((s32)value->value >> 31));
  } else {
    u32 where = from(operands);
    op(H_MOVE);
    put(local * 8);
    put(where);
  }
  if (opcode == 0x22)
    push_at(type, IN_LOCAL, local);
}
static void select(u32 opcode) {
  u32 type = ANY;
  if (opcode == 0x1c) {
    check(number() == 1);
    type = value_type();
  }
  pop(I32);
  u32 second = pop_any(), first = pop_any();
  if (opcode == 0x1b) {
    check(first != FUNCREF && first != EXTERNREF && second != FUNCREF && second != EXTERNREF);
    type = first == ANY ? second : first;
  }
  check((first == type || first == ANY) && (second == type || second == ANY));
  u32 a = from(operands), b = from(operands + 1), condition = from(operands + 2);
  op(H_CHOOSE);
  into(type);
  put(a);
  put(b);
  put(condition);
}
static void called(type_t *type) {
  settle_top(type->params_count);
  pop_all(type->params, type->params_count);
}
static void call(void) {
  u32 function = below(functions_count);
  type_t *type = &TYPES[FUNCTIONS[function].type];
  called(type);
  op(H_CALL);
  put(function);
  put(slot(operands));
  push_all(type->results, type->results_count);
}
static void call_indirect(void) {
  type_t *type = &TYPES[below(types_count)];
  u32 table = below(tables_count);
  check(TABLES[table].kind == FUNCREF);
  pop(I32);
  u32 index = from(operands);
  called(type);
  op(H_CALL_BY);
  put(index);
  put(table);
  put(type->number);
  put(slot(operands));
  push_all(type->results, type->results_count);
}
static void bulk(void) {
  u32 which = number(), first = 0, second = 0, takes = 3;
  if (which < 8 || which > 17)
    which < 8 ? give_up(NOT_PROVABLE) : give_up(NOT_VALID);
  if (which == 8 || which == 9) {
    check(has_data_count);
    first = below(data_count);
    check(which == 9 || byte() == 0);
  } else if (which <= 11)
    check(byte() == 0 && (which == 11 || byte() == 0));
  else if (which == 12 || which == 13) {
    first = below(elements_count);
    second = which == 12 ? below(tables_count) : 0;
    check(which == 13 || ELEMENT_KINDS[first] == TABLES[second].kind);
  } else {
    first = below(tables_count);
    second = which == 14 ? below(tables_count) : 0;
    check(which != 14 || TABLES[first].kind == TABLES[second].kind);
  }
  u32 kind = which >= 15 ? TABLES[first].kind : I32;
  takes = which == 9 || which == 13 || which == 16 ? 0 : which == 15 ? 2 : 3;
  u32 at_slot[3] = {0, 0, 0};
  if (which == 15) {
    pop(I32);
    pop(kind);
  } else if (takes) {
    pop(I32);
    pop(which == 17 ? kind : I32);
    pop(I32);
  }
  for (u32 each = 0; each < takes; each++)
    at_slot[each] = from(operands + each);
  if (which == 15 || which == 16) {
    // The result goes where the first operand is, which must not be a local.
    if (takes && at_slot[0] != slot(operands)) {
      op(H_MOVE);
      put(slot(operands));
      put(at_slot[0]);
    }
    at_slot[0] = slot(operands);
  }
  op(H_BULK + which);
  for (u32 each = 0; each < 3; each++)
    put(at_slot[each]);
  put(first);
  put(second);
  if (which == 15 || which == 16)
    push(I32);
}
static void table_access(u32 opcode) {
  u32 table = below(tables_count), kind = TABLES[table].kind;
  if (opcode == 0x25) {
    unary(H_TABLE_GET, I32, kind);
  } else {
    pop(kind);
    pop(I32);
    u32 index = from(operands), value = from(operands + 1);
    op(H_TABLE_SET);
    put(index);
    put(value);
  }
  put(table);
}
static void global(u32 opcode) {
  u32 index = below(globals_count);
  if (opcode == 0x23) {
    op(H_GET);
    into(GLOBAL_KINDS[index] & 0x7f);
    put(index);
    return;
  }
  check(GLOBAL_KINDS[index] & 0x80);
  pop(GLOBAL_KINDS[index] & 0x7f);
  u32 value = from(operands);
  op(H_PUT);
  put(value);
  put(index);
}
static void numeric(u32 opcode) {
  if (opcode >= 0x46 && opcode <= 0x4f)
    binary(opcode, I32, I32);
  else if (opcode >= 0x51 && opcode <= 0x5a)
    binary(opcode, I64, I32);
  else if (opcode >= 0x6a && opcode <= 0x78)
    binary(opcode, I32, I32);
  else if (opcode >= 0x7c && opcode <= 0x8a)
    binary(opcode, I64, I64);
  else if (opcode == 0x50 || opcode == 0xa7)
    unary(opcode, I64, I32);
  else if (opcode == 0x45 || opcode == 0x67 || opcode == 0x68 || opcode == 0x69 || opcode == 0xc0 ||
           opcode == 0xc1)
    unary(opcode, I32, I32);
  else if (opcode == 0xac || opcode == 0xad)
    unary(opcode, I32, I64);
  else if ((opcode >= 0x79 && opcode <= 0x7b) || (opcode >= 0xc2 && opcode <= 0xc4))
    unary(opcode, I64, I64);
  else
    give_up(NOT_PROVABLE);  // floating point, vectors, or nothing at all
}
static void instruction(u32 opcode) {
  u32 *newest = last_into;
  last_into = 0;
  switch (opcode) {
    case 0x00: op(0x00); return dead();
    case 0x01: return;
    case 0x02: case 0x03: case 0x04: return block(opcode);
    case 0x05: case 0x0b: return close(opcode);
    case 0x0c: {
      label_t *label = label_at();
      u32 count;
      const u8 *types = carried(label, &count);
      pop_all(types, count);
      push_again(types, count);
      settle_top(count);
      go_to(label);
      return dead();
    }
    case 0x0d: return branch_if();
    case 0x0e: return branch_table();
    case 0x0f: return leave();
    case 0x10: return call();
    case 0x11: return call_indirect();
    case 0x1a: pop_any(); return;
    case 0x1b: case 0x1c: return select(opcode);
    case 0x20: {
      u32 local = below(locals_count);
      return push_at(LOCAL(local), IN_LOCAL, local);
    }
    case 0x21: case 0x22: return set_local(opcode, newest);
    case 0x23: case 0x24: return global(opcode);
    case 0x25: case 0x26: return table_access(opcode);
    case 0x3f:
      check(byte() == 0);
      op(opcode);
      return into(I32);
    case 0x40: check(byte() == 0); return unary(opcode, I32, I32);
    case 0x41: return constant(I32, leb(32, 1));
    case 0x42: return constant(I64, leb(64, 1));
    case 0xd0: return push_at(reference_type(), CONSTANT, 0);
    case 0xd1: {
      u32 type = pop_any();
      check(type == FUNCREF || type == EXTERNREF || type == ANY);
      operands += type != ANY;
      return unary(H_IS_NULL, ANY, I32);
    }
    case 0xd2: {
      u32 function = below(functions_count);
      check(FUNCTIONS[function].is_declared);
      return push_at(FUNCREF, CONSTANT, function + 1);
    }
    case 0xfc: return bulk();
  }
  if (opcode >= 0x28 && opcode <= 0x35)
    load(opcode);
  else if (opcode >= 0x36 && opcode <= 0x3e)
    store(opcode);
  else
    numeric(opcode);
}
static void lower(function_t *function) {
  type_t *type = &TYPES[function->type];
  at = function->body;
  at_end = function->body_end;
  locals_count = type->params_count;
  for (u32 each = 0; each < locals_count; each++)
    LOCAL(each) = type->params[each];
  for (u32 groups = number(); groups; groups--) {
    u32 count = number(), kind = value_type();
    if (count > LOCALS_MAX || locals_count + count > LOCALS_MAX)
      give_up(TOO_LARGE);
    while (count--)
      LOCAL(locals_count++) = (u8)kind;
  }
  operands_first = (locals_count > type->results_count ? locals_count : type->results_count) + 1;
  function->code = code;
  op(H_ENTER);
  u32 *frame_bytes = code;
  put(0);
  put(type->params_count * 8);
  put(locals_count * 8);
  put(operands_first * 8 - 8);
  operands = operands_most = labels_count = 0;
  last_into = 0;
  open(2, 0, 0, type->results, type->results_count);
  while (labels_count)
    instruction(byte());
  check(at == at_end);
  *frame_bytes = slot(operands_most);
}
