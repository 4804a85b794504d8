//! The essential measurements in two minutes: `cargo bench --bench report`.
//!
//! Prints tables and writes them to `target/speed` (or `-- --out DIR`) as `report.md`
//! and `roofline.svg`. One thread unless a row says otherwise.
//!
//! * All cases of a table are measured in turn, round after round, together with the
//!   baselines they are compared with; the median over the rounds counts.
//! * The clock is that of a chain of dependent integer additions, one cycle each, measured
//!   in every round.
//! * The stream kernels only read or write: as wide, prefetched as far ahead and, from the
//!   same size on, stored past the caches as the library's loop is.
//! * The std loop computes the textbook formulas with std's `exp` and `ln_1p`. For long
//!   inputs it runs on the first 2 M elements: it is bound by computing.
//! * `-- --base target/against/base.so` adds the revision that `benches/against.sh` has built there
//!   (c573f7e unless it was told another).

#[path = "../cases/mod.rs"]
mod cases;

mod baselines;
mod cliffs;
mod measure;
mod render;

use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use baselines::{Base, stream};
use cases::{BACKENDS, Buffers, Function, Operation, Std, Task};
use clap::Parser;
use indicatif::ProgressBar;
use measure::{Case, Meter, median, peak};
use render::{Cell, Point, Roof, Table, roofline};
use soft_bce::{Backend, Bce};

#[derive(Parser)]
struct Options {
    /// Where report.md and roofline.svg go.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/speed"))]
    out: PathBuf,
    /// Rounds per table.
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Only this backend.
    #[arg(long)]
    backend: Option<String>,
    /// A library that benches/against.sh has built.
    #[arg(long)]
    base: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn includes(&self, backend: Backend) -> bool {
        let named = |name: &String| name == backend.name();
        backend.is_available() && self.backend.as_ref().is_none_or(named)
    }
}

const IN_CACHE: usize = 16 << 10;
const LONGEST_STD_LOOP: usize = 2 << 20;

struct Row {
    element: &'static str,
    n: usize,
    backend: &'static str,
    /// "" or "exact".
    mode: &'static str,
    task: Task,
    ns: f64,
    bytes: usize,
    stream: f64,
    std_loop: f64,
    /// NaN without one.
    base: f64,
}

/// Tasks against the stream kernels, the std loop and the earlier revision.
fn tasks<T: Std>(
    options: &Options,
    meter: &mut Meter,
    base: Option<Base>,
    n: usize,
    backends: &[Backend],
) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut buffers = Buffers::<T>::typical(n);
    let (mut cases, mut labels, mut bases) = (Vec::new(), Vec::new(), Vec::new());
    for &backend in backends {
        for task in Task::ALL {
            if task.obstacle(backend).is_some() || !options.includes(backend) {
                continue;
            }
            let bce = Bce::<T>::new().backend(backend)?;
            let exact = T::exact(bce).filter(|_| matches!(task, Task::Call(_)));
            for (mode, bce) in [("", Some(bce)), ("exact", exact)] {
                let Some(bce) = bce else { continue };
                labels.push((backend, mode, task));
                cases.push(Case::new(n, move |buffers: &mut Buffers<T>| {
                    black_box(buffers.call(task, &bce, 0, n));
                }));
                bases.extend(base.map(|base| base.case(backend, mode, task, n)));
            }
        }
    }
    let count = cases.len();
    let with_base = !bases.is_empty();
    cases.extend(bases);
    cases.extend(Task::ALL.map(|task| stream(task, n)));
    cases.extend(Task::ALL.map(|task| {
        let n = n.min(LONGEST_STD_LOOP);
        Case::new(n, move |buffers: &mut Buffers<T>| {
            black_box(buffers.std_loop(task, n));
        })
    }));
    let times = meter.measure(&format!("{} n = {n}", T::NAME), &mut buffers, &cases);
    let baselines = &times[times.len() - 2 * Task::ALL.len()..];
    let (streams, std_loops) = baselines.split_at(Task::ALL.len());
    let row = |(i, (backend, mode, task)): (usize, (Backend, _, Task))| {
        let index = Task::ALL
            .iter()
            .position(|&other| other == task)
            .unwrap_or(0);
        let base = if with_base {
            times[count + i]
        } else {
            f64::NAN
        };
        Row {
            element: T::NAME,
            n,
            backend: backend.name(),
            mode,
            task,
            ns: times[i],
            bytes: (task.reads() + task.writes()) * size_of::<T>(),
            stream: streams[index],
            std_loop: std_loops[index],
            base: if base > 0.0 { base } else { f64::NAN },
        }
    };
    Ok(labels.into_iter().enumerate().map(row).collect())
}

/// Nanoseconds per call on few elements, at changing places, with `Bce::new()`.
fn short<T: Std>(meter: &mut Meter, table: &mut Table) {
    const CALLS: usize = 1000;
    const LENGTHS: [usize; 6] = [1, 2, 4, 8, 16, 32];
    let mut buffers = Buffers::<T>::typical(CALLS + 64);
    let bce = Bce::<T>::new();
    let operations = [
        Operation::Loss,
        Operation::Sum,
        Operation::Gradient,
        Operation::SumGradient,
    ];
    let cases: Vec<_> = operations
        .iter()
        .flat_map(|&operation| LENGTHS.map(|n| (Task::Call(operation), n)))
        .map(|(task, n)| {
            Case::new(CALLS, move |buffers: &mut Buffers<T>| {
                for at in 0..CALLS {
                    black_box(buffers.call(task, &bce, black_box(at), n));
                }
            })
        })
        .collect();
    table.head.truncate(2);
    table.head.extend(LENGTHS.map(|n| format!("n = {n}")));
    let times = meter.measure(&format!("{} short calls", T::NAME), &mut buffers, &cases);
    for (operation, times) in operations.iter().zip(times.chunks(LENGTHS.len())) {
        let mut row = vec![T::NAME.into(), operation.name().into()];
        row.extend(times.iter().map(|&ns| Cell::Number(ns, 1)));
        table.rows.push(row);
    }
}

/// All threads of the pool against one.
#[cfg(feature = "rayon")]
fn parallel(meter: &mut Meter, n: usize) -> Table {
    let mut buffers = Buffers::<f32>::typical(n);
    let bce = Bce::<f32>::new();
    let one = |operation| {
        Case::new(n, move |b: &mut Buffers<f32>| {
            black_box(b.call(Task::Call(operation), &bce, 0, n));
        })
    };
    let cases = [
        one(Operation::Sum),
        Case::new(n, |b: &mut Buffers<f32>| {
            black_box(bce.par_sum(b.z.get(), b.t.get()).ok());
        }),
        one(Operation::SumGradient),
        Case::new(n, |b: &mut Buffers<f32>| {
            let (z, t) = (b.z.get(), b.t.get());
            black_box(bce.par_sum_gradient(z, t, b.g.get_mut()).ok());
        }),
    ];
    let times = meter.measure("f32 parallel", &mut buffers, &cases);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut table = Table::new(
        format!("All {threads} threads, f32, {n} elements:"),
        &["operation", "ns/element", "one thread", "times faster"],
    );
    for (name, times) in ["par_sum", "par_sum_gradient"].iter().zip(times.chunks(2)) {
        table.rows.push(vec![
            (*name).into(),
            Cell::Number(times[1], 3),
            Cell::Number(times[0], 3),
            Cell::Number(times[0] / times[1], 2),
        ]);
    }
    table
}

/// f32 operations per element, a fused multiply-add counting two: a measure of the work, taken from
/// the fast kernel of c573f7e and kept.
fn flops(task: Task) -> Option<f64> {
    const EXP: f64 = 21.0;
    const LOSS: f64 = 23.0;
    const GRADIENT: f64 = 4.0;
    const HESSIAN: f64 = 2.0;
    Some(
        EXP + match task {
            Task::Call(Operation::Loss) => LOSS,
            Task::Call(Operation::Sum) => LOSS + 1.0,
            Task::Call(Operation::Gradient) | Task::Map(Function::Sigmoid) => GRADIENT,
            Task::Call(Operation::SumGradient) => LOSS + 1.0 + GRADIENT,
            Task::Call(Operation::GradientHessian) => GRADIENT + HESSIAN,
            Task::Call(Operation::SumGradientHessian) => LOSS + 1.0 + GRADIENT + HESSIAN,
            _ => return None,
        },
    )
}

fn roofs(rows: &[Row]) -> Vec<Roof> {
    let mut roofs = Vec::new();
    let mut lengths: Vec<usize> = rows.iter().map(|row| row.n).collect();
    lengths.sort_unstable();
    lengths.dedup();
    for n in lengths {
        let moved = Task::Call(Operation::SumGradient);
        let of = |row: &&Row| row.n == n && row.element == "f32" && row.task == moved;
        if let Some(row) = rows.iter().find(of) {
            let bandwidth = row.bytes as f64 / row.stream;
            let text = format!("stream, {n} elements, {bandwidth:.0} GB/s");
            roofs.push(Roof::Bandwidth(text, bandwidth));
        }
    }
    for backend in BACKENDS {
        if let Some(peak) = peak(backend) {
            let text = format!("{} multiply-adds, {peak:.0} G/s", backend.name());
            roofs.push(Roof::Peak(text, peak));
        }
    }
    roofs
}

fn points(rows: &[Row]) -> Vec<Point> {
    rows.iter()
        .filter(|row| row.mode.is_empty() && row.element == "f32")
        .filter_map(|row| {
            let flops = flops(row.task)?;
            Some(Point {
                backend: row.backend,
                n: row.n,
                intensity: flops / row.bytes as f64,
                rate: flops / row.ns,
            })
        })
        .collect()
}

fn task_table(rows: &[Row], gigahertz: f64) -> Table {
    let mut table = Table::new(
        "Typical inputs:",
        &[
            "type",
            "n",
            "backend",
            "operation",
            "ns/element",
            "GB/s",
            "cycles/element",
            "x stream",
            "std loop / this",
            "base / this",
        ],
    );
    for row in rows {
        let name = format!("{} {}", row.mode, row.task.name());
        table.rows.push(vec![
            row.element.into(),
            Cell::Number(row.n as f64, 0),
            row.backend.into(),
            name.trim().into(),
            Cell::Number(row.ns, 3),
            Cell::Number(row.bytes as f64 / row.ns, 1),
            Cell::Number(row.ns * gigahertz, 2),
            Cell::Number(row.ns / row.stream, 2),
            Cell::Number(row.std_loop / row.ns, 1),
            Cell::Number(row.base / row.ns, 2),
        ]);
    }
    table
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(": ").nth(1))
            .unwrap_or("?")
            .to_owned()
    };
    format!(
        "{}, family {}, model {}",
        field("model name"),
        field("cpu family"),
        field("model\t")
    )
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    if !options.bench {
        println!("run by cargo bench --bench report"); // cargo test --benches comes here
        return Ok(());
    }
    let started = Instant::now();
    let base = options.base.as_deref().map(Base::load).transpose()?;
    let mut meter = Meter {
        rounds: options.rounds,
        gigahertz: Vec::new(),
        bar: ProgressBar::new(0),
    };
    meter.bar.set_style(indicatif::ProgressStyle::with_template(
        "{bar:30} {pos}/{len} {msg} {elapsed}",
    )?);

    let slow = |&backend: &Backend| {
        matches!(backend, Backend::Scalar | Backend::Wide) && backend != Backend::detect()
    };
    let fast: Vec<Backend> = BACKENDS.into_iter().filter(|b| !slow(b)).collect();
    let mut short_calls = Table::new(
        "Short calls with `Bce::new()`, ns per call, dispatch included:",
        &["type", "operation"],
    );
    short::<f32>(&mut meter, &mut short_calls);
    short::<f64>(&mut meter, &mut short_calls);
    let cliffs = cliffs::table(&options, &mut meter)?;
    let mut rows = tasks::<f32>(&options, &mut meter, base, IN_CACHE, &BACKENDS)?;
    rows.extend(tasks::<f64>(
        &options, &mut meter, base, IN_CACHE, &BACKENDS,
    )?);
    rows.extend(tasks::<f32>(&options, &mut meter, base, 64 << 20, &fast)?);
    rows.extend(tasks::<f64>(&options, &mut meter, base, 16 << 20, &fast)?);
    let mut tables = vec![short_calls, cliffs];
    #[cfg(feature = "rayon")]
    tables.push(parallel(&mut meter, 64 << 20));
    meter.bar.finish_and_clear();

    let gigahertz = median(&mut meter.gigahertz);
    tables.insert(0, task_table(&rows, gigahertz));
    let compiled: Vec<&str> = [
        ("sse2", cfg!(target_feature = "sse2")),
        ("avx2", cfg!(target_feature = "avx2")),
        ("fma", cfg!(target_feature = "fma")),
        ("avx512f", cfg!(target_feature = "avx512f")),
        ("neon", cfg!(target_feature = "neon")),
    ]
    .into_iter()
    .filter_map(|(name, has)| has.then_some(name))
    .collect();
    let base = options
        .base
        .as_ref()
        .map_or_else(|| "none".to_owned(), |base| base.display().to_string());
    let mut text = format!(
        "CPU: {}; {gigahertz:.2} GHz (dependent additions, median of the run). One thread.\n\
         Compiled for: {} with {} (what the wide backend uses). {} rounds, medians. Base: {base}.\n",
        cpu(),
        std::env::consts::ARCH,
        compiled.join(", "),
        options.rounds,
    );
    for table in &tables {
        text += &format!("\n{}", table.markdown());
    }
    text += "\n";
    for backend in BACKENDS.iter().filter(|backend| !backend.is_available()) {
        text += &format!("Not run: {}, which this machine lacks.\n", backend.name());
    }
    text += &format!(
        "Not run: functions of a logit on other backends than {}: they have no choice.\n",
        Backend::detect().name()
    );
    print!("{text}");

    std::fs::create_dir_all(&options.out)?;
    std::fs::write(options.out.join("report.md"), &text)?;
    roofline(
        &options.out.join("roofline.svg"),
        &points(&rows),
        &roofs(&rows),
    )?;
    println!(
        "{} s; written to {}",
        started.elapsed().as_secs(),
        options.out.display()
    );
    Ok(())
}
