//! The `regcred` program.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;
use zeroizing_alloc::ZeroAlloc;

/// Whatever is freed is zeroed: buffers that libraries grow and drop hold secrets too.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<Jemalloc> = ZeroAlloc(Jemalloc);

fn main() -> ExitCode {
    regcred::cli::main(std::env::args_os())
}
