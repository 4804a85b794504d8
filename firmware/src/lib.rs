//! What the programs here need of a machine: a start, a place to print to, an end that tells.
#![cfg_attr(not(unix), no_std)]

/// Makes a function of the crate's root, from a writer to success, the whole program.
#[macro_export]
macro_rules! program {
    ($program:ident) => {
        #[cfg(unix)]
        fn main() -> std::process::ExitCode {
            $crate::hosted($program)
        }

        #[cfg(all(target_arch = "arm", target_os = "none"))]
        mod start {
            #[$crate::machine::entry]
            fn main() -> ! {
                $crate::machine::run(super::$program)
            }
        }

        #[cfg(target_arch = "wasm32")]
        mod start {
            #[unsafe(no_mangle)]
            extern "C" fn run() -> bool {
                super::$program(&mut $crate::machine::Page)
            }
        }
    };
}

/// Runs a program where there is an operating system.
#[cfg(unix)]
pub fn hosted(program: fn(&mut dyn core::fmt::Write) -> bool) -> std::process::ExitCode {
    let mut text = String::new();
    let passed = program(&mut text);
    print!("{text}");
    if passed {
        std::process::ExitCode::SUCCESS
    } else {
        std::process::ExitCode::FAILURE
    }
}

/// A Cortex-M under a debugger, or QEMU, that offers semihosting.
#[cfg(all(target_arch = "arm", target_os = "none"))]
pub mod machine {
    pub use cortex_m_rt::entry;
    use cortex_m_semihosting::{debug, hio, hprintln};

    // For the critical section that the semihosting crate uses.
    use cortex_m as _;

    /// Runs a program and tells the debugger how it ended.
    pub fn run(program: fn(&mut dyn core::fmt::Write) -> bool) -> ! {
        let passed = hio::hstdout().is_ok_and(|mut out| program(&mut out));
        loop {
            debug::exit(if passed {
                debug::EXIT_SUCCESS
            } else {
                debug::EXIT_FAILURE
            });
        }
    }

    /// What an overflow of the stack ends in: there is no RAM below it. The handler begins it anew, since what
    /// used it would fault again.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    extern "C" fn HardFault() -> ! {
        core::arch::naked_asm!(
            "mov r0, sp",
            "ldr r1, =_stack_start",
            "mov sp, r1",
            "bl {}",
            sym hard_fault
        )
    }

    extern "C" fn hard_fault(sp: usize) -> ! {
        unsafe extern "C" {
            /// The least address of the stack: memory.x.
            static _stack_end: u8;
        }
        let cause = if sp < (&raw const _stack_end).addr() {
            "the stack overflowed"
        } else {
            "hard fault"
        };
        if let Ok(mut out) = hio::hstderr() {
            let _ = core::fmt::write(&mut out, format_args!("{cause}: sp = {sp:#x}\n"));
        }
        loop {
            debug::exit(debug::EXIT_FAILURE);
        }
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        hprintln!("{}", info);
        loop {
            debug::exit(debug::EXIT_FAILURE);
        }
    }
}

/// WebAssembly in a page, or Node, that offers `env.print`.
#[cfg(target_arch = "wasm32")]
pub mod machine {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn print(text: *const u8, length: usize);
    }

    /// Prints to the page.
    pub struct Page;

    impl core::fmt::Write for Page {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            // SAFETY: the page reads `length` bytes from `text`, which are the string's.
            unsafe { print(text.as_ptr(), text.len()) };
            Ok(())
        }
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        core::arch::wasm32::unreachable()
    }
}
