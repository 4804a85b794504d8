//! soft-bce within `src/accuracy.md`, on 10 million elements per function, type and mode.
//!
//! `SEED=n` repeats a run, `CASES=n` sets its length, `PLANT=fault` shows it red.

use soft_bce::Real;
use soft_bce_oracle::budget::Mode;
use soft_bce_oracle::fast::Fast;
use soft_bce_oracle::mpfr::{Function, Options};
use soft_bce_oracle::subject::Subject;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    })
}

fn check<F: Fast + Real>(function: Function, mode: Mode, options: Options, cases: u64) {
    let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..));
    let subject = Subject::new::<F>(function, mode, options).expect("a budget");
    let tally = subject
        .check::<F>(number("CASES").unwrap_or(cases), seed)
        .expect("valid inputs");
    println!(
        "SEED={seed} {} {} {}: {} elements, {} by MPFR, worst {:?}",
        function.name(),
        F::NAME,
        mode.name(),
        tally.elements,
        tally.decided_by_mpfr,
        tally.worst,
    );
    if let Err(message) = tally.verdict() {
        panic!(
            "SEED={seed} {} {} {}, {:?}: {message}",
            function.name(),
            F::NAME,
            mode.name(),
            subject.job
        );
    }
}

macro_rules! default_mode {
    ($($test:ident: $format:ty, $function:ident;)*) => {$(
        #[test]
        fn $test() {
            check::<$format>(Function::$function, Mode::Default, Options::PLAIN, 10_000_000);
        }
    )*};
}

default_mode! {
    f32_loss: f32, Loss;
    f32_gradient: f32, Gradient;
    f32_hessian: f32, Hessian;
    f32_sigmoid: f32, Sigmoid;
    f32_log_sigmoid: f32, LogSigmoid;
    f32_softplus: f32, Softplus;
    f32_logit: f32, Logit;
    f64_loss: f64, Loss;
    f64_gradient: f64, Gradient;
    f64_hessian: f64, Hessian;
    f64_sigmoid: f64, Sigmoid;
    f64_log_sigmoid: f64, LogSigmoid;
    f64_softplus: f64, Softplus;
    f64_logit: f64, Logit;
}
