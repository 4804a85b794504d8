//! What one operation costs on a Cortex-M: stack, and instructions an element. One operation an
//! image, so that the image's size tells its flash: OPERATION, where this is compiled.
#![cfg_attr(not(unix), no_std, no_main)]

use core::fmt::Write;
use core::hint::black_box;

#[cfg(all(target_arch = "arm", target_os = "none"))]
mod measure {
    use core::arch::asm;

    use cortex_m::Peripherals;
    use cortex_m::peripheral::SYST;
    use cortex_m::peripheral::syst::SystClkSource;

    const PAINT: u32 = 0xa5a5_5a5a;
    /// Instructions a tick: QEMU's `-icount shift=0` counts one a nanosecond, the timer has 25 MHz.
    pub const INSTRUCTIONS: u32 = 40;

    unsafe extern "C" {
        /// The stack grows down to here: memory.x.
        static mut _stack_end: u32;
    }

    /// Bytes of stack below this function's own, and ticks.
    #[inline(never)]
    pub fn measure(operation: fn()) -> (usize, u32) {
        let mut timer = Peripherals::take().map(|peripherals| peripherals.SYST);
        if let Some(timer) = &mut timer {
            timer.set_clock_source(SystClkSource::Core);
            timer.set_reload(0xff_ffff);
            timer.clear_current();
            timer.enable_counter();
        }
        let (bottom, top): (usize, usize);
        // SAFETY: copies the stack pointer.
        unsafe { asm!("mov {}, sp", out(reg) top, options(nomem, nostack)) };
        bottom = (&raw mut _stack_end).addr();
        let words = (bottom..top).step_by(4);
        for word in words.clone() {
            // SAFETY: this part of the stack is not in use.
            unsafe { core::ptr::with_exposed_provenance_mut::<u32>(word).write_volatile(PAINT) };
        }
        let start = SYST::get_current();
        operation();
        let ticks = start - SYST::get_current();
        let changed = |word: &usize| {
            // SAFETY: as above; the operation may have written it.
            let value = unsafe { core::ptr::with_exposed_provenance::<u32>(*word).read_volatile() };
            value != PAINT
        };
        (top - words.clone().find(changed).unwrap_or(top), ticks)
    }
}

#[cfg(all(target_arch = "arm", target_os = "none"))]
fn run(out: &mut dyn Write) -> bool {
    use core::sync::atomic::{AtomicU32, Ordering};
    use soft_bce::linear::{ColumnScale, ColumnSum, Features, Head, gradient_scratch};
    use soft_bce::{Bce, Error, LossSum};

    const COUNT: usize = 512;
    /// Bits of the last result, so that there is one; 1 where it is an error.
    static RESULT: AtomicU32 = AtomicU32::new(0);
    static LOGITS: [f32; COUNT] = {
        let mut z = [0.0; COUNT];
        let mut i = 0;
        while i < COUNT {
            z[i] = (i * 37 % 512) as f32 / 32.0 - 8.0;
            i += 1;
        }
        z
    };
    static TARGETS: [f32; COUNT] = {
        let mut t = [0.0; COUNT];
        let mut i = 0;
        while i < COUNT {
            t[i] = (i * 101 % 512) as f32 / 511.0;
            i += 1;
        }
        t
    };
    static mut OUT: [f32; COUNT] = [0.0; COUNT];

    /// Of as many rows of four columns as the features have elements.
    fn linear_predict(x: &[f32], out: &mut [f32]) -> Result<f64, Error> {
        let x = Features::rows(x, COUNT / 4, 4)?;
        let head = Head::new(&[0.5, -0.25, 0.125, 0.0]).intercept(0.5);
        head.predict(&x, out.get_mut(..COUNT / 4).unwrap_or(&mut []))?;
        Ok(0.0)
    }

    fn linear_sum_gradient(x: &[f32], t: &[f32]) -> Result<f64, Error> {
        let x = Features::rows(x, COUNT / 4, 4)?;
        let head = Head::new(&[0.5, -0.25, 0.125, 0.0]).intercept(0.5);
        let (mut sums, mut loss) = ([ColumnSum::default(); 5], LossSum::new());
        let scale = ColumnScale::of(8.0)?;
        head.start_gradient(&[scale; 4], ColumnScale::ONE, &mut sums)?;
        let t = t.get(..COUNT / 4).unwrap_or(&[]);
        head.sum_gradient(&x, t, &mut loss, &mut sums, &mut [0.0; gradient_scratch(5)])?;
        Ok(sums.iter().map(ColumnSum::to_f64).sum())
    }

    fn operation() {
        // SAFETY: one thread, no interrupts, and this is the one place that names it.
        let out = unsafe { &mut *(&raw mut OUT) };
        let (z, t) = (black_box(&LOGITS[..]), black_box(&TARGETS[..]));
        let bce = Bce::new();
        let result = match option_env!("OPERATION") {
            Some("none") | None => Ok(0.0),
            Some(name) => match name.as_bytes() {
                b"loss" => bce.loss(z, t, out).map(|()| 0.0),
                b"gradient" => bce.gradient(z, t, out).map(|()| 0.0),
                b"sum_gradient" => bce.sum_gradient(z, t, out),
                b"linear_predict" => linear_predict(z, out),
                b"linear_sum_gradient" => linear_sum_gradient(z, t),
                _ => Err(Error::Empty),
            },
        };
        black_box(out);
        RESULT.store(
            result.map_or(1, |sum| (sum.to_bits() >> 32) as u32),
            Ordering::Relaxed,
        );
    }
    let (stack, ticks) = measure::measure(black_box(operation));
    let instructions = u64::from(ticks * measure::INSTRUCTIONS);
    let tenths = instructions * 10 / COUNT as u64;
    let _ = writeln!(
        out,
        "stack {stack}, instructions {}.{}",
        tenths / 10,
        tenths % 10
    );
    RESULT.load(Ordering::Relaxed) != 1
}

#[cfg(not(all(target_arch = "arm", target_os = "none")))]
fn run(out: &mut dyn Write) -> bool {
    let _ = writeln!(out, "only on a Cortex-M");
    black_box(false)
}

soft_bce_firmware::program!(run);
