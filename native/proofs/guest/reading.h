// Reads a module section by section, and checks what WebAssembly asks of it (protocols/18 §8).
#define ENTRIES_MAX (4u << 20)
static const u8 *given_module;

static u32 count(void) {
  u32 value = number();
  if (value > COUNT_MAX)
    give_up(TOO_LARGE);
  return value;
}
static void bounds(u32 *least, u32 *most, u32 limit) {
  u32 flag = byte();
  check(flag <= 1);
  *least = number();
  *most = flag ? number() : limit;
  check(*least <= *most && *least <= limit);
  if (*most > limit)
    give_up(TOO_LARGE);
}
static u64 constant_of(u32 type) {
  u32 opcode = byte();
  u64 value = 0;
  if (opcode == 0x41 && type == I32)
    value = (u32)leb(32, 1);
  else if (opcode == 0x42 && type == I64)
    value = leb(64, 1);
  else if (opcode == 0xd0)
    check(reference_type() == type);
  else {
    check(opcode == 0xd2 && type == FUNCREF);
    u32 function = below(functions_count);
    FUNCTIONS[function].is_declared = 1;
    value = function + 1;
  }
  check(byte() == 0x0b);
  return value;
}
static const u8 *value_types(u32 *number_of) {
  *number_of = number();
  if (*number_of > 1000)
    give_up(TOO_LARGE);
  const u8 *types = at;
  for (u32 each = 0; each < *number_of; each++)
    value_type();
  return types;
}
static u32 same(const u8 *a, const u8 *b, u32 size) {
  while (size && *a == *b)
    a++, b++, size--;
  return size == 0;
}
static void read_types(void) {
  types_count = count();
  TYPES = room(types_count, sizeof *TYPES);
  for (u32 each = 0; each < types_count; each++) {
    type_t *it = &TYPES[each];
    check(byte() == 0x60);
    it->params = value_types(&it->params_count);
    it->results = value_types(&it->results_count);
    for (it->number = 0; it->number < each; it->number++) {
      type_t *other = &TYPES[it->number];
      if (other->params_count == it->params_count && other->results_count == it->results_count &&
          same(other->params, it->params, it->params_count) &&
          same(other->results, it->results, it->results_count))
        break;
    }
  }
}
static void read_functions(void) {
  functions_count = count() + IMPORTS;
  FUNCTIONS = room(functions_count, sizeof *FUNCTIONS);
#if IMPORTS
  for (u32 each = 0; each < IMPORTS; each++)
    FUNCTIONS[each].type = imported[each];
#endif
  for (u32 each = IMPORTS; each < functions_count; each++)
    FUNCTIONS[each].type = below(types_count);
}
static void read_tables(void) {
  tables_count = count();
  if (tables_count > TABLES_MAX)
    give_up(TOO_LARGE);
  TABLES = room(tables_count, sizeof *TABLES);
  for (u32 each = 0; each < tables_count; each++) {
    table_t *it = &TABLES[each];
    it->kind = reference_type();
    bounds(&it->now, &it->max, ENTRIES_MAX);
    it->entries = room(it->max, 4);
  }
}
static void read_globals(void) {
  globals_count = count();
  GLOBALS = room(globals_count, sizeof *GLOBALS);
  GLOBAL_KINDS = room(globals_count, 1);
  for (u32 each = 0; each < globals_count; each++) {
    u32 kind = value_type(), mutable = byte();
    check(mutable <= 1);
    GLOBALS[each] = constant_of(kind);
    GLOBAL_KINDS[each] = (u8)(kind | mutable << 7);
  }
}
static u32 has_type(u32 function, u32 params, u32 result) {
  type_t *type = &TYPES[FUNCTIONS[function].type];
  u32 fits = type->params_count == params && type->results_count == (result != 0);
  for (u32 each = 0; fits && each < params; each++)
    fits = type->params[each] == I32;
  return fits && (!result || type->results[0] == result);
}
// A name is UTF-8, of the shortest form, without surrogates.
static const u8 *name_of(u32 *size) {
  *size = number();
  check(*size <= (u32)(at_end - at));
  const u8 *name = at, *end = at + *size;
  while (at < end) {
    u32 first = *at++;
    if (first < 0x80)
      continue;
    u32 more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1, point = first & (63 >> more);
    check(first >= 0xc2 && first <= 0xf4 && more <= (u32)(end - at));
    for (u32 each = 0; each < more; each++) {
      check((*at & 0xc0) == 0x80);
      point = point << 6 | (*at++ & 63);
    }
    check(point >= (more == 3 ? 0x10000u : more == 2 ? 0x800u : 0x80u) && point <= 0x10ffff &&
          (point < 0xd800 || point > 0xdfff));
  }
  return name;
}
#define IS_NAMED(wanted) (size == sizeof wanted - 1 && same(name, (const u8 *)wanted, size))
static void read_exports(void) {
  u32 exports = count();
  if (exports > 1024)
    give_up(TOO_LARGE);
  const u8 **names = room(exports, sizeof *names);
  u32 *sizes = room(exports, sizeof *sizes);
  for (u32 each = 0; each < exports; each++) {
    u32 size;
    const u8 *name = names[each] = name_of(&size);
    sizes[each] = size;
    for (u32 other = 0; other < each; other++)
      check(sizes[other] != size || !same(names[other], name, size));
    u32 kind = byte();
    check(kind < 4);
    u32 index = below(kind == 0 ? functions_count : kind == 1 ? tables_count : kind == 2 ? 1 : globals_count);
    if (kind == 0) {
      FUNCTIONS[index].is_declared = 1;
      if (IS_NAMED("alloc") && has_type(index, 1, I32))
        alloc_function = index;
      else if (IS_NAMED("run") && has_type(index, 2, I64))
        run_function = index;
      else if (IS_NAMED("__ambient_start") && has_type(index, 0, 0))
        start_function = index;
      EXPORTED_FUNCTION
    } else if (kind == 3 && IS_NAMED("__ambient_gas") && GLOBAL_KINDS[index] == (I64 | 0x80))
      gas_at = &GLOBALS[index];
    else if (kind == 3 && IS_NAMED("__ambient_depth") && GLOBAL_KINDS[index] == (I32 | 0x80))
      depth_at = (u32 *)&GLOBALS[index];
    EXPORTED_GLOBAL
  }
}
static u32 failed;  // the trap of a segment that lies outside: tables come before memory
static void read_elements(void) {
  elements_count = count();
  ELEMENTS = room(elements_count, sizeof *ELEMENTS);
  ELEMENT_KINDS = room(elements_count, 1);
  for (u32 each = 0; each < elements_count; each++) {
    segment_t *it = &ELEMENTS[each];
    u32 flags = number(), table = 0, to = 0, kind = FUNCREF;
    check(flags < 8);
    u32 is_active = !(flags & 1);
    if (is_active) {
      table = flags & 2 ? number() : 0;
      check(table < tables_count);
      to = (u32)constant_of(I32);
    }
    if (flags & 3) {
      if (flags & 4)
        kind = reference_type();
      else
        check(byte() == 0);
    }
    check(!is_active || kind == TABLES[table].kind);
    u32 size = number();
    it->entries = room(size, 4);
    for (u32 entry = 0; entry < size; entry++)
      if (flags & 4)
        it->entries[entry] = (u32)constant_of(kind);
      else {
        u32 function = below(functions_count);
        FUNCTIONS[function].is_declared = 1;
        it->entries[entry] = function + 1;
      }
    ELEMENT_KINDS[each] = (u8)kind;
    it->size = flags == 1 || flags == 5 ? size : 0;
    if (!is_active)
      continue;
    if ((u64)to + size > TABLES[table].now)
      failed = failed ? failed : TABLE_BOUNDS;
    else if (!failed)
      memcpy(TABLES[table].entries + to, it->entries, size * 4);
  }
}
static void read_data(void) {
  u32 segments = count(), is_failed = 0;
  DATA = has_data_count ? DATA : room(segments, sizeof *DATA);
  check(!has_data_count || segments == data_count);
  for (u32 each = 0; each < segments; each++) {
    segment_t *it = &DATA[each];
    u32 flags = number(), to = 0;
    check(flags < 3 && (flags != 2 || number() == 0));
    if (flags != 1)
      to = (u32)constant_of(I32);
    u32 size = number();
    check(size <= (u32)(at_end - at));
    it->bytes = at;
    it->size = flags == 1 ? size : 0;
    at += size;
    if (flags == 1)
      continue;
    if ((u64)to + size > memory_size)
      is_failed = 1;
    else if (!is_failed && !IMPORTS)  // where memory is that of a state, it is the state's
      memcpy((void *)(MEMORY_AT + to), it->bytes, size);
  }
  if (is_failed)
    failed = failed ? failed : MEMORY_BOUNDS;
}
static void read_bodies(void) {
  check(number() == functions_count - IMPORTS);
  for (u32 each = IMPORTS; each < functions_count; each++) {
    u32 size = number();
    check(size <= (u32)(at_end - at));
    FUNCTIONS[each].body = at;
    FUNCTIONS[each].body_end = at += size;
  }
}
static u32 has_memory;
static void read_section(u32 section) {
  switch (section) {
    case 1: return read_types();
    case 2: READ_IMPORTS; return;
    case 3: return read_functions();
    case 4: return read_tables();
    case 5:
      check(number() == 1);
      bounds(&pages_now, &pages_max, 65536);
      // The module's limits are checked against what it is given before anything is put there.
      if ((u64)pages_now << 16 > given.memory_bytes_max)
        give_up(2);
      has_memory = 1;
      return;
    case 6: return read_globals();
    case 7: return read_exports();
    case 9: return read_elements();
    case 10: return read_bodies();
    case 11: return read_data();
    case 12:
      data_count = count();
      DATA = room(data_count, sizeof *DATA);
      has_data_count = 1;
      return;
    default: check(0);  // a start function among them: what prepares modules exports it
  }
}
static void read_module(u32 size) {
  // The count of segments comes before the code, and the code before the segments.
  static const u8 ORDER[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 10};
  static const u8 MAGIC[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
  const u8 *end = given_module + size;
  at = given_module;
  check(size >= 8 && same(at, MAGIC, 8));
  at += 8;
  u32 last = 0, has_bodies = 0;
  while (at < end) {
    at_end = end;
    u32 section = byte(), section_size = number();
    check(section <= 12 && section_size <= (u32)(end - at));
    const u8 *section_end = at + section_size;
    if (section == 0) {  // for people, not for machines
      u32 size;
      at_end = section_end;
      name_of(&size);
      at = section_end;
      continue;
    }
    check(ORDER[section] > last);
    last = ORDER[section];
    at_end = section_end;
    read_section(section);
    check(at == section_end);
    has_bodies |= section == 10;
  }
  check(has_bodies || functions_count == 0);
  check(!has_data_count || last >= ORDER[11] || data_count == 0);
  check(has_memory && gas_at && depth_at && alloc_function != ~0u && run_function != ~0u);
}
