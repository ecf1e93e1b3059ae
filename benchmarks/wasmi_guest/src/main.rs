//! Reads what the universal image reads, and states what it states (protocols/18 §3, §8), for
//! executions that complete: whatever else comes of one ends without a statement.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicUsize, Ordering};

use wasmi::{Engine, Linker, Module, Store, Val};

const END: u32 = 0;
const READ: u32 = 1;
const SHA256: u32 = 4;
const BLOCKS_MAX: usize = 10; // of one call
const DIGEST: *mut u32 = 0xffff_0240 as *mut u32;
const HEAP: usize = 0x2100_0000;
const HEAP_END: usize = 0x8000_0000;
#[rustfmt::skip]
static ROUND: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2];
static FIRST: [u32; 8] = [
    0x67e6096a, 0x85ae67bb, 0x72f36e3c, 0x3af54fa5, 0x7f520e51, 0x8c68059b, 0xabd9831f, 0x19cde05b,
];

global_asm!(
    ".section .text.start, \"ax\"",
    ".globl _start",
    "_start: lui sp, 0x20000",
    "tail begin"
);

fn ecall(number: u32, a: u32, b: u32, c: u32, d: u32, e: u32) -> u32 {
    let told;
    // SAFETY: the circuit's calls, with memory of this program.
    unsafe {
        asm!("ecall", inlateout("a0") a => told, in("a1") b, in("a2") c, in("a3") d, in("a4") e,
             in("a7") number);
    }
    told
}

fn end(code: u32) -> ! {
    ecall(END, code, 0, 0, 0, 0);
    loop {}
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    end(99)
}

/// Memory is given and never taken back; what has not been given is zero.
struct Heap(AtomicUsize);

// SAFETY: there is one thread, and no memory is given twice.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let at = self.0.load(Ordering::Relaxed).next_multiple_of(layout.align());
        self.0.store(at + layout.size(), Ordering::Relaxed);
        if at + layout.size() > HEAP_END { core::ptr::null_mut() } else { at as *mut u8 }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { self.alloc(layout) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static MEMORY: Heap = Heap(AtomicUsize::new(HEAP));

fn read(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    for part in bytes.chunks_mut(512) {
        let size = part.len() as u32;
        if ecall(READ, 0, part.as_mut_ptr() as u32, size, 0, 0) != size {
            end(1)
        }
    }
    bytes
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let size: usize = parts.iter().map(|part| part.len()).sum();
    let mut blocks = vec![[0u32; 16]; (size + 9).div_ceil(64)];
    let room = blocks.len() * 64;
    // SAFETY: as many bytes as the words have.
    let bytes = unsafe { core::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast::<u8>(), room) };
    let mut at = 0;
    for part in parts {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    bytes[at] = 0x80;
    bytes[room - 8..].copy_from_slice(&(size as u64 * 8).to_be_bytes());
    let mut state = FIRST;
    for some in blocks.chunks(BLOCKS_MAX) {
        let to = state.as_mut_ptr() as u32;
        ecall(SHA256, to, to, some.as_ptr() as u32, some.len() as u32, ROUND.as_ptr() as u32);
    }
    let mut digest = [0; 32];
    for (four, word) in digest.chunks_mut(4).zip(state) {
        four.copy_from_slice(&word.to_le_bytes());
    }
    digest
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn pay(gas: u64, bytes: usize) -> u64 {
    let left = gas as i64 - bytes.div_ceil(8) as i64;
    if left < 0 { end(3) } else { left as u64 }
}

#[unsafe(no_mangle)]
extern "C" fn begin() -> ! {
    let given = read(64);
    let (gas_max, memory_max, output_max) = (number(&given, 36), number(&given, 44), number(&given, 52));
    let size = u32::from_le_bytes(given[60..].try_into().unwrap()) as usize;
    let module_size = u32::from_le_bytes(read(4).try_into().unwrap()) as usize;
    if given[..4] != [0; 4] {
        end(2) // salted, which is not compared
    }
    let module = read(module_size);
    let named = sha256(&[
        b"\x12ambient/prepared/1",
        &(module_size as u64).to_be_bytes(),
        &module,
    ]);
    let (gas, output) = execute(&module, gas_max, output_max as usize, size);
    let input = output.0;
    let mut statement = Vec::with_capacity(144);
    statement.extend(named);
    statement.extend(input);
    statement.extend(sha256(&[&output.1]));
    statement.extend([0; 16]);
    for each in [gas_max, gas_max - gas, memory_max, output_max] {
        statement.extend(each.to_be_bytes());
    }
    let shown = [output.1.as_ptr() as u32, output.1.len() as u32, statement.as_ptr() as u32];
    ecall(READ, shown.as_ptr() as u32 | 1, shown.as_ptr() as u32, 0, 0, 0);
    let digest = sha256(&[b"\x13ambient/execution/1", &144u64.to_be_bytes(), &statement]);
    for (n, four) in digest.chunks(4).enumerate() {
        // SAFETY: where the circuit looks for the output.
        unsafe { DIGEST.add(n).write_volatile(u32::from_le_bytes(four.try_into().unwrap())) }
    }
    end(0)
}

/// Give the gas left, the input's hash, and the output.
fn execute(module: &[u8], gas_max: u64, output_max: usize, size: usize) -> (u64, ([u8; 32], Vec<u8>)) {
    let engine = Engine::default();
    let Ok(module) = Module::new(&engine, module) else { end(32) };
    let mut store = Store::new(&engine, ());
    let Ok(instance) = Linker::<()>::new(&engine).instantiate_and_start(&mut store, &module) else {
        end(3)
    };
    let (Some(gas), Some(memory)) =
        (instance.get_global(&store, "__ambient_gas"), instance.get_memory(&store, "memory"))
    else {
        end(32)
    };
    let (Ok(alloc), Ok(run)) = (
        instance.get_typed_func::<i32, i32>(&store, "alloc"),
        instance.get_typed_func::<(i32, i32), i64>(&store, "run"),
    ) else {
        end(32)
    };
    gas.set(&mut store, Val::I64(pay(gas_max, size) as i64)).unwrap();
    let Ok(at) = alloc.call(&mut store, size as i32) else { end(3) };
    let input = read(size);
    memory.write(&mut store, at as usize, &input).unwrap();
    let Ok(range) = run.call(&mut store, (at, size as i32)) else { end(3) };
    let (at, size) = ((range as u64 >> 32) as usize, range as u32 as usize);
    let mut output = vec![0; if size > output_max { end(3) } else { size }];
    memory.read(&store, at, &mut output).unwrap();
    let Val::I64(left) = gas.get(&store) else { end(32) };
    (pay(left as u64, size), (sha256(&[&input]), output))
}
