//! Checks every f32 logit, and writes the report.
//!
//! ```text
//! cargo run --release -p soft-bce-oracle --bin exhaustive
//! ```

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use serde::Serialize;
use soft_bce::Error;
use soft_bce_oracle::budget::Mode;
use soft_bce_oracle::cases;
use soft_bce_oracle::check::{BIN, Checker, Requirement, Tally};
use soft_bce_oracle::corpus::{Format, Random, numbers};
use soft_bce_oracle::fast::Batch;
use soft_bce_oracle::fault::Fault;
use soft_bce_oracle::mpfr::{Function, Options};
use soft_bce_oracle::subject::Subject;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Runs all 2^32 f32 logits through soft-bce and judges every result.
#[derive(Parser)]
struct Arguments {
    /// Functions to check; all by default.
    #[arg(value_delimiter = ',')]
    functions: Vec<String>,
    /// Check the exact mode: correctly rounded or failed.
    #[arg(long)]
    exact: bool,
    /// Instead of all logits, so many pairs of logit and target for loss and gradient, half of them
    /// random, half constructed to be near midpoints and stationary points.
    #[arg(long, value_name = "N")]
    pairs: Option<u64>,
    /// Instead of four targets for loss and gradient, at each logit between 2^-26 and 104 in magnitude so many that
    /// are aimed at large errors: losses next to a power of two, targets that subtracting rounds off.
    #[arg(long, value_name = "N", conflicts_with_all = ["pairs", "exact"])]
    aimed: Option<u64>,
    /// Seed of the pairs and targets.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads; as many as there are cores by default.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Only every N-th block of logits, for a quick look.
    #[arg(long, default_value_t = 1, value_name = "N")]
    stride: u32,
    /// Spoils the results, to see the check turn red.
    #[arg(long, value_enum)]
    plant: Option<Fault>,
    /// Folder for the report (NAME.md and NAME.json); none by default.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

/// One function at one target, if it takes one.
#[derive(Clone, Copy)]
struct Run {
    subject: Subject,
    target: Option<f32>,
}

#[derive(Serialize)]
struct Outcome {
    name: String,
    requirement: Requirement,
    seconds: f64,
    tally: Tally,
}

const BLOCK_BITS: u32 = 18;
const AIMED_FROM: f32 = 1.0 / (1 << 26) as f32;
const AIMED_TO: f32 = 104.0;
const TARGETS: [f32; 4] = [0.0, 0.25, 0.5, 1.0];

fn runs(arguments: &Arguments) -> Result<Vec<Run>, String> {
    let mode = if arguments.exact {
        Mode::Exact
    } else {
        Mode::Default
    };
    let of_pairs = arguments.pairs.is_some() || arguments.aimed.is_some();
    let mut runs = Vec::new();
    for function in Function::ALL {
        let chosen = arguments.functions.is_empty()
            || arguments
                .functions
                .iter()
                .any(|name| name == function.name());
        let takes_part = match function {
            // Checked over all probabilities by the same command, in the default mode only.
            Function::Logit => !arguments.exact && !of_pairs,
            // In exact mode only where named: at t = 1/2 MPFR decides every tiny logit, which takes hours.
            Function::Loss | Function::Gradient => {
                of_pairs || !arguments.exact || !arguments.functions.is_empty()
            }
            _ => !of_pairs,
        };
        if !chosen || !takes_part {
            continue;
        }
        let mut subject = Subject::new::<f32>(function, mode, Options::PLAIN)?;
        subject.fault = arguments.plant.or(subject.fault);
        if matches!(function, Function::Loss | Function::Gradient) && !of_pairs {
            runs.extend(TARGETS.map(|target| Run {
                subject,
                target: Some(target),
            }));
        } else {
            runs.push(Run {
                subject,
                target: None,
            });
        }
    }
    let unknown = arguments
        .functions
        .iter()
        .find(|name| Function::ALL.iter().all(|known| known.name() != **name));
    match unknown {
        Some(name) => Err(format!("no function {name:?}")),
        None if runs.is_empty() => Err("nothing to check".into()),
        None => Ok(runs),
    }
}

impl Run {
    fn name(&self) -> String {
        let function = self.subject.job.function.name();
        let exact = if self.subject.mode == Mode::Exact {
            "exact "
        } else {
            ""
        };
        self.target.map_or_else(
            || format!("{exact}{function}"),
            |t| format!("{exact}{function}, t = {t}"),
        )
    }

    /// All logits whose upper bits are `block`; for logit all probabilities, which are a quarter of them.
    fn logits(&self, block: u32) -> Result<Tally, Error> {
        let first = block << BLOCK_BITS;
        let mut z: Vec<f32> = (0..1 << BLOCK_BITS)
            .map(|i| f32::from_bits(first + i))
            .collect();
        if self.subject.job.function == Function::Logit {
            z.retain(|p| (0.0..=1.0).contains(p));
        }
        let t = vec![self.target.unwrap_or(0.0); z.len()];
        self.judge(&z, &t)
    }

    fn pairs(&self, seed: u64) -> Result<Tally, Error> {
        let mut random = Random::new(seed);
        let (z, t): (Vec<f32>, Vec<f32>) = (0..1_u32 << BLOCK_BITS)
            .map(|i| match i % 4 {
                0 | 1 => cases::random_pair(&mut random),
                2 => numbers::midpoint_pair(&mut random),
                _ => {
                    // The stationary point itself, where the gradient cancels most.
                    let z = (random.unit() as f32 - 0.5) * 32.0;
                    (z, numbers::stationary_target(z))
                }
            })
            .unzip();
        self.judge(&z, &t)
    }

    /// Of the logits whose upper bits are `block`, with targets that are aimed.
    fn aimed(&self, seed: u64, block: u32, each: u64) -> Result<Tally, Error> {
        let mut random = Random::new(seed);
        let first = block << BLOCK_BITS;
        let (mut z, mut t) = (Vec::new(), Vec::new());
        for logit in (0..1 << BLOCK_BITS).map(|i| f32::from_bits(first + i)) {
            if !(AIMED_FROM..=AIMED_TO).contains(&logit.abs()) {
                continue;
            }
            for _ in 0..each {
                z.push(logit);
                t.push(match self.subject.job.function {
                    Function::Loss => numbers::target_of_a_power(logit, &mut random),
                    _ => numbers::target_below_the_last_place(logit, &mut random),
                });
            }
        }
        self.judge(&z, &t)
    }

    fn judge(&self, z: &[f32], t: &[f32]) -> Result<Tally, Error> {
        let mut checker = Checker::<f32>::new(self.subject.job);
        let mut computed = [0.0; cases::BATCH];
        for (z, t) in z.chunks(cases::BATCH).zip(t.chunks(cases::BATCH)) {
            let computed = &mut computed[..z.len()];
            self.subject.call(z, t, &[], computed)?;
            checker.check(Batch {
                z,
                t,
                weights: &[],
                computed,
            });
        }
        Ok(checker.finish())
    }

    fn whole(&self, arguments: &Arguments) -> Result<Outcome, Error> {
        let blocks = match arguments.pairs {
            Some(pairs) => pairs.div_ceil(1 << BLOCK_BITS) as u32,
            None => (1 << (32 - BLOCK_BITS)) / arguments.stride.max(1),
        };
        let bar = ProgressBar::new(u64::from(blocks))
            .with_message(self.name())
            .with_style(
                ProgressStyle::with_template("{msg:28} {wide_bar} {percent:>3} % {eta}")
                    .expect("a valid template"),
            );
        let start = Instant::now();
        let tally = (0..blocks)
            .into_par_iter()
            .map(|block| {
                let block = block * arguments.stride.max(1);
                let seed = arguments.seed.wrapping_mul(1 << 32) + u64::from(block);
                let tally = match (arguments.pairs, arguments.aimed) {
                    (Some(_), _) => self.pairs(seed),
                    (_, Some(each)) => self.aimed(seed, block, each),
                    _ => self.logits(block),
                };
                bar.inc(1);
                tally
            })
            .try_reduce(Tally::default, |mut a, b| {
                a.merge(b);
                Ok(a)
            })?;
        bar.finish_and_clear();
        Ok(Outcome {
            name: self.name(),
            requirement: self.subject.job.requirement,
            seconds: start.elapsed().as_secs_f64(),
            tally,
        })
    }
}

fn worst(outcome: &Outcome) -> String {
    outcome.tally.worst.map_or_else(
        || " | ".into(),
        |case| {
            let z = case.input.z as f32;
            format!(
                "{:.4} | z = {z:e} (0x{:08x}), t = {:e}",
                case.ulp,
                Format::to_bits(z),
                case.input.t as f32
            )
        },
    )
}

fn markdown(outcomes: &[Outcome], arguments: &Arguments) -> String {
    let mut text = String::from("# ");
    text += match (arguments.exact, arguments.pairs) {
        _ if arguments.aimed.is_some() => {
            "All f32 logits between 2^-26 and 104 in magnitude, aimed targets"
        }
        (false, None) => "All 2^32 f32 logits",
        (true, None) => "All 2^32 f32 logits, exact mode",
        (false, Some(_)) => "Random and constructed pairs, f32",
        (true, Some(_)) => "Random and constructed pairs, f32, exact mode",
    };
    let command: Vec<String> = std::env::args().skip(1).collect();
    let mut command = command.join(" ");
    if let Some(folder) = &arguments.report {
        // One of this machine alone is nobody else's.
        command = command.replace(&folder.display().to_string(), "docs/accuracy");
    }
    let _ = write!(
        text,
        "\n\nMade by `cargo run --release -p soft-bce-oracle --bin exhaustive -- {}`\n\
         on backend {}. The worst errors are MPFR's, as is every verdict within 0.01 ULP of its budget, on a\n\
         NaN or infinity, and, in exact mode, near a midpoint. \"Near midpoints\" counts the elements that the exact\n\
         mode's first step leaves to its slower ones, as the oracle's f64 reference applies the same test: 0 in\n\
         the default mode. Where the exact mode names a worst error, it is that of the elements that MPFR decided.\n\n\
         | function | elements | required | violations | worst, ULP | at | by MPFR | near midpoints | seconds |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        command,
        soft_bce::Backend::detect().name(),
    );
    for outcome in outcomes {
        let required = match outcome.requirement {
            Requirement::Within(budget) => format!("{budget} ULP"),
            Requirement::CorrectlyRounded => "correctly rounded".into(),
        };
        let Tally {
            elements,
            decided_by_mpfr,
            violations,
            near_midpoints,
            ..
        } = outcome.tally;
        let _ = writeln!(
            text,
            "| {} | {elements} | {required} | {violations} | {} | {decided_by_mpfr} | {near_midpoints} | {:.0} |",
            outcome.name,
            worst(outcome),
            outcome.seconds,
        );
    }
    if !arguments.exact {
        let _ = write!(text, "\nElements by error, in ULP:\n\n| function |");
        let last = outcomes
            .iter()
            .filter_map(|o| o.tally.histogram.iter().rposition(|&n| n > 0))
            .max()
            .unwrap_or(0);
        // Bins of the tally put together to quarters of a ULP would not be even: halves are.
        let per_column = (0.5 / BIN).round() as usize;
        let columns = last / per_column + 1;
        for column in 0..columns {
            let _ = write!(text, " < {:.1} |", (column + 1) as f64 * 0.5);
        }
        let _ = write!(text, "\n|---|{}\n", "---|".repeat(columns));
        for outcome in outcomes {
            let _ = write!(text, "| {} |", outcome.name);
            for counts in outcome.tally.histogram.chunks(per_column).take(columns) {
                let _ = write!(text, " {} |", counts.iter().sum::<u64>());
            }
            text.push('\n');
        }
    }
    text
}

fn run(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.threads)
        .build_global()?;
    let mut outcomes = Vec::new();
    for run in runs(arguments)? {
        let outcome = run.whole(arguments)?;
        println!(
            "{}: {} elements, {} violations, worst {}, {:.0} s",
            outcome.name,
            outcome.tally.elements,
            outcome.tally.violations,
            worst(&outcome).replace(" |", ""),
            outcome.seconds
        );
        if let Err(message) = outcome.tally.verdict() {
            println!("{message}");
        }
        outcomes.push(outcome);
    }
    if let Some(folder) = &arguments.report {
        let name = match (arguments.exact, arguments.pairs) {
            _ if arguments.aimed.is_some() => "aimed",
            (false, None) => "exhaustive",
            (true, None) => "exhaustive-exact",
            (false, Some(_)) => "pairs",
            (true, Some(_)) => "pairs-exact",
        };
        std::fs::create_dir_all(folder)?;
        std::fs::write(
            folder.join(name).with_extension("md"),
            markdown(&outcomes, arguments),
        )?;
        std::fs::write(
            folder.join(name).with_extension("json"),
            serde_json::to_string_pretty(&outcomes)? + "\n",
        )?;
    }
    Ok(outcomes
        .iter()
        .all(|outcome| outcome.tally.verdict().is_ok()))
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
