//! soft-bce within `src/accuracy.md`, on 10 million elements per function, type and mode, of the
//! excess on 300,000.
//!
//! `SEED=n` repeats a run, `CASES=n` sets its length, `PLANT=fault` shows it red.

use soft_bce_oracle::budget::Mode;
use soft_bce_oracle::mpfr::{Function, Options};
use soft_bce_oracle::subject::{Element, Subject};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    })
}

fn check<F: Element>(function: Function, mode: Mode, options: Options, cases: u64) {
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

macro_rules! without_options {
    ($($test:ident: $format:ty, $mode:ident, $function:ident;)*) => {$(
        #[test]
        fn $test() {
            check::<$format>(Function::$function, Mode::$mode, Options::PLAIN, 10_000_000);
        }
    )*};
}

without_options! {
    f32_loss: f32, Default, Loss;
    f32_gradient: f32, Default, Gradient;
    f32_hessian: f32, Default, Hessian;
    f32_sigmoid: f32, Default, Sigmoid;
    f32_log_sigmoid: f32, Default, LogSigmoid;
    f32_softplus: f32, Default, Softplus;
    f32_logit: f32, Default, Logit;
    f64_loss: f64, Default, Loss;
    f64_gradient: f64, Default, Gradient;
    f64_hessian: f64, Default, Hessian;
    f64_sigmoid: f64, Default, Sigmoid;
    f64_log_sigmoid: f64, Default, LogSigmoid;
    f64_softplus: f64, Default, Softplus;
    f64_logit: f64, Default, Logit;
    exact_loss: f32, Exact, Loss;
    exact_gradient: f32, Exact, Gradient;
    exact_hessian: f32, Exact, Hessian;
    exact_sigmoid: f32, Exact, Sigmoid;
    exact_log_sigmoid: f32, Exact, LogSigmoid;
    exact_softplus: f32, Exact, Softplus;
}

const EXCESS: Options = Options {
    excess: true,
    ..Options::PLAIN
};

/// There is no fast reference: MPFR decides each.
#[test]
fn f32_excess() {
    check::<f32>(Function::Loss, Mode::Excess, EXCESS, 300_000);
}

#[test]
fn f64_excess() {
    check::<f64>(Function::Loss, Mode::Excess, EXCESS, 300_000);
}
