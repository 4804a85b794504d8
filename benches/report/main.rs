//! The speed report, in a minute: `cargo run --profile dependent-release -p soft-bce-report --bin report`.
//!
//! Prints it and writes it to `target/speed` (or `--out DIR`) as `report.md` and `roofline.svg`. One
//! thread. `--base LIBRARY` compares with the revision that `benches/against.sh` has built as
//! `target/against/base.so` (c573f7e unless it was told another).
//!
//! All cases of a table are measured in turn, round after round, together with what they are compared
//! with; the lower quartile of the rounds counts. The first two tables are measured in several processes, one after
//! the other, of which the median counts: where the system has put code and memory makes a difference.

#[path = "../cases/mod.rs"]
mod cases;

mod baselines;
mod cliffs;
mod measure;
mod picture;
mod render;

use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::Command;

use baselines::{Base, traffic};
use cases::{BACKENDS, Buffers, Function, Operation, Std, Task};
use clap::Parser;
use measure::{Case, arithmetic, gigahertz, measure, median};
use picture::{Point, Roof, roofline};
use render::{Table, cpu, number, output};
use soft_bce::{Backend, Bce, scalar};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const IN_CACHE: usize = 16 << 10;
const LONG: usize = 16 << 20;
/// Short calls go round in this many elements, as the rows of a matrix would.
const RING: usize = 1024;
const SHORT: [usize; 9] = [1, 2, 4, 8, 16, 64, 67, 256, 512];

#[derive(Parser)]
struct Options {
    /// Where report.md and roofline.svg go.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/speed"))]
    out: PathBuf,
    /// Rounds per table.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Processes for the first two tables.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    processes: u8,
    /// A library that benches/against.sh has built.
    #[arg(long)]
    base: Option<PathBuf>,
    /// Prints one process's times of this part, and nothing else.
    #[arg(long, hide = true, requires = "element")]
    part: Option<String>,
    #[arg(long, hide = true)]
    element: Option<String>,
}

struct Row {
    element: &'static str,
    backend: Backend,
    /// "" or "exact".
    mode: &'static str,
    task: Task,
    ns: f64,
    traffic: f64,
    std_loop: f64,
    /// NaN without one.
    base: f64,
}

fn bytes<T: Std>(task: Task) -> f64 {
    ((task.reads() + task.writes()) * size_of::<T>()) as f64
}

/// Backend, mode ("" or "exact"), what is called, and on what.
type Label<T> = (Backend, &'static str, Task, Bce<'static, T>);

/// What is measured in cache.
fn labels<T: Std>() -> Result<Vec<Label<T>>, Box<dyn Error>> {
    let mut labels = Vec::new();
    for backend in BACKENDS {
        for task in Task::ALL {
            if task.obstacle(backend).is_none() {
                let bce = Bce::<T>::new().backend(backend)?;
                labels.push((backend, "", task, bce));
                let exact = T::exact(bce).filter(|_| matches!(task, Task::Call(_)));
                labels.extend(exact.map(|bce| (backend, "exact", task, bce)));
            }
        }
    }
    Ok(labels)
}

/// One process's times in cache: of each label, with the base's after it; of traffic loops, and of loops over std.
fn cache_part<T: Std>(options: &Options, base: Option<Base>) -> Result<Vec<f64>, Box<dyn Error>> {
    let n = IN_CACHE;
    let mut cases = Vec::new();
    for (backend, mode, task, bce) in labels::<T>()? {
        cases.push(Case::new(n, move |buffers: &mut Buffers<T>| {
            black_box(buffers.call(task, &bce, 0, n));
        }));
        cases.extend(base.map(|base| base.case((backend, mode, task), n, n)));
    }
    cases.extend(Task::ALL.map(|task| traffic(task, n)));
    cases.extend(Task::ALL.map(|task| {
        Case::new(n, move |buffers: &mut Buffers<T>| {
            black_box(buffers.std_loop(task, n));
        })
    }));
    Ok(measure(options.rounds, &mut Buffers::typical(n), &cases))
}

fn in_cache<T: Std>(options: &Options) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut times = processes(options, T::NAME, "cache")?;
    let times: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
    let labels = labels::<T>()?;
    let each = 1 + usize::from(options.base.is_some());
    let (pairs, others) = times.split_at(each * labels.len());
    let (traffics, std_loops) = others.split_at(Task::ALL.len());
    let row = |((backend, mode, task, _), times): ((Backend, _, Task, _), &[f64])| {
        let of = |times: &[f64]| {
            let mut named = Task::ALL.iter().zip(times).filter(|of| *of.0 == task);
            named.next().map_or(f64::NAN, |of| *of.1)
        };
        Row {
            element: T::NAME,
            backend,
            mode,
            task,
            ns: times[0],
            traffic: of(traffics),
            std_loop: of(std_loops),
            base: times.get(1).copied().unwrap_or(f64::NAN),
        }
    };
    Ok(labels
        .into_iter()
        .zip(pairs.chunks(each))
        .map(row)
        .collect())
}

/// The times of a part in processes of their own: of each case, those of all processes.
fn processes(
    options: &Options,
    element: &str,
    part: &str,
) -> Result<Vec<Vec<f64>>, Box<dyn Error>> {
    let mut times: Vec<Vec<f64>> = Vec::new();
    for _ in 0..options.processes {
        let mut child = Command::new(std::env::current_exe()?);
        child.args([
            "--part",
            part,
            "--element",
            element,
            "--rounds",
            &options.rounds.to_string(),
        ]);
        if let Some(base) = &options.base {
            child.arg("--base").arg(base);
        }
        let output = child.output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        for (i, line) in String::from_utf8(output.stdout)?.lines().enumerate() {
            if i == times.len() {
                times.push(Vec::new());
            }
            times[i].push(line.parse()?);
        }
    }
    Ok(times)
}

/// Multiply-adds (and multiplications) and divisions an element, counted in `src/kernel.rs`.
fn work(element: &str, task: Task) -> Option<[f64; 2]> {
    // Of e^-|z|; of the loss from it; of the gradient; of the Hessian besides.
    let ([exp, loss, gradient, hessian], divided_loss) = match element {
        "f32" => ([9.0, 11.0, 0.0, 2.0], 0.0),
        _ => ([17.0, 18.0, 4.0, 3.0], 1.0),
    };
    Some(match task {
        Task::Call(Operation::Loss | Operation::Sum) => [exp + loss, divided_loss],
        Task::Call(Operation::Gradient) | Task::Map(Function::Sigmoid) => [exp + gradient, 1.0],
        Task::Call(Operation::SumGradient) => [exp + loss + gradient, 1.0],
        Task::Call(Operation::GradientHessian) => [exp + gradient + hessian, 1.0],
        Task::Call(Operation::SumGradientHessian) => [exp + loss + gradient + hessian, 1.0],
        Task::Map(Function::Softplus | Function::LogSigmoid) => [exp + loss - 1.0, divided_loss],
        _ => return None,
    })
}

/// What bounds a row: instructions a cycle, and how much of its time multiply-adds, divisions and traffic
/// would take alone.
fn bounds(row: &Row, gigahertz: f64, counts: &str) -> [String; 4] {
    let case = format!(
        "{} {} {} ",
        row.element,
        row.backend.name(),
        row.task.name()
    );
    let count = counts.lines().find_map(|line| line.strip_prefix(&case));
    let count: f64 = count.map_or(f64::NAN, |count| count.parse().unwrap_or(f64::NAN));
    let plain = row.mode.is_empty();
    let alone = arithmetic(row.element, row.backend).zip(work(row.element, row.task));
    let share = |i: usize| {
        let ns = alone.map_or(f64::NAN, |(ns, work)| ns[i] * work[i]);
        number(if plain { 100.0 * ns / row.ns } else { f64::NAN }, 0)
    };
    let per_cycle = count / (row.ns * gigahertz);
    [
        number(if plain { per_cycle } else { f64::NAN }, 1),
        share(0),
        share(1),
        number(100.0 * row.traffic / row.ns, 0),
    ]
}

fn task_table(rows: &[Row], gigahertz: f64) -> Result<Table, Box<dyn Error>> {
    let counts = std::fs::read_to_string(format!("{ROOT}/docs/speed/instructions.txt"))?;
    let mut table = Table::new(&[
        "type",
        "backend",
        "operation",
        "ns",
        "cycles",
        "std / this",
        "this / base",
        "instructions a cycle",
        "multiply-adds %",
        "divisions %",
        "traffic %",
    ]);
    for row in rows {
        let name = format!("{} {}", row.mode, row.task.name());
        let mut cells = vec![
            row.element.into(),
            row.backend.name().into(),
            name.trim().into(),
            number(row.ns, 3),
            number(row.ns * gigahertz, 2),
            number(row.std_loop / row.ns, 1),
            number(row.ns / row.base, 2),
        ];
        cells.extend(bounds(row, gigahertz, &counts));
        table.push(cells);
    }
    Ok(table)
}

const LONG_TASKS: &[Task] = Task::ALL.split_at(6).0;

/// One process's times of long inputs: of each operation, with the base's and the traffic loop's after it.
fn long_part<T: Std>(options: &Options, base: Option<Base>) -> Vec<f64> {
    let bce = Bce::<T>::new();
    let mut cases = Vec::new();
    for &task in LONG_TASKS {
        cases.push(Case::new(LONG, move |buffers: &mut Buffers<T>| {
            black_box(buffers.call(task, &bce, 0, LONG));
        }));
        let label = (Backend::detect(), "", task);
        cases.extend(base.map(|base| base.case(label, LONG, LONG)));
        cases.push(traffic(task, LONG));
    }
    measure(options.rounds, &mut Buffers::<T>::typical(LONG), &cases)
}

/// The rows of long inputs; the times of the traffic loops.
fn long<T: Std>(options: &Options, table: &mut Table) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut times = processes(options, T::NAME, "long")?;
    let each = times.len() / LONG_TASKS.len();
    let mut traffics = Vec::new();
    for (task, times) in LONG_TASKS.iter().zip(times.chunks_mut(each)) {
        let [typical, .., traffic] = &times
            .iter_mut()
            .map(|times| median(times))
            .collect::<Vec<_>>()[..]
        else {
            return Err("a process printed too little".into());
        };
        // Sorted by now.
        let (first, last) = (times[0][0], times[0][times[0].len() - 1]);
        let base = if each > 2 {
            median(&mut times[1])
        } else {
            f64::NAN
        };
        table.push(vec![
            T::NAME.into(),
            task.name().into(),
            number(*typical, 3),
            number(first, 3),
            number(last, 3),
            number(typical / base, 2),
            number(100.0 * traffic / typical, 0),
        ]);
        traffics.push(*traffic);
    }
    Ok(traffics)
}

/// A call of `n` elements on one part of the buffers after the other.
fn each_short<T: Std, R>(
    n: usize,
    call: impl Fn(&[T], &[T], &mut [T]) -> R + 'static,
) -> Case<'static, Buffers<T>> {
    Case::new(RING / n, move |buffers: &mut Buffers<T>| {
        let n = black_box(n);
        let inputs = buffers
            .z
            .get()
            .chunks_exact(n)
            .zip(buffers.t.get().chunks_exact(n));
        for ((z, t), g) in inputs.zip(buffers.g.get_mut().chunks_exact_mut(n)) {
            black_box(call(z, t, g));
        }
    })
}

/// Nanoseconds per call on few elements, at changing places, with `Bce::new()`.
fn short<T: Std>(options: &Options, base: Option<Base>, table: &mut Table) {
    let bce = Bce::<T>::new();
    for operation in &Task::ALL[..4] {
        let task = *operation;
        // A closure for each operation, as a program would have it.
        let case = |n: usize| match task {
            Task::Call(Operation::Loss) => each_short(n, move |z, t, g| bce.loss(z, t, g).is_ok()),
            Task::Call(Operation::Sum) => each_short(n, move |z, t, _| bce.sum(z, t)),
            Task::Call(Operation::Gradient) => {
                each_short(n, move |z, t, g| bce.gradient(z, t, g).is_ok())
            }
            _ => each_short(n, move |z, t, g| bce.sum_gradient(z, t, g)),
        };
        let mut cases: Vec<_> = SHORT.map(case).into();
        let label = (Backend::detect(), "", task);
        let bases = SHORT.map(|n| base.map(|base| base.case(label, n, 1)));
        cases.extend(bases.into_iter().flatten());
        let times = measure(options.rounds, &mut Buffers::typical(RING), &cases);
        for (name, times) in ["this", "base"].iter().zip(times.chunks(SHORT.len())) {
            let mut row = vec![T::NAME.into(), task.name().into(), (*name).into()];
            row.extend(times.iter().map(|&ns| number(ns, 1)));
            table.push(row);
        }
    }
}

/// `soft_bce::scalar` against the textbook formulas by std's functions, nanoseconds an element.
fn scalars<T: Std>(options: &Options, table: &mut Table) {
    /// The function of each pair, to `g`.
    fn each<T: Std>(f: impl Fn(T, T) -> T + 'static) -> Case<'static, Buffers<T>> {
        Case::new(RING, move |Buffers { z, t, g, .. }: &mut Buffers<T>| {
            let pairs = z.get().iter().zip(t.get());
            for (g, (&z, &t)) in g.get_mut().iter_mut().zip(pairs) {
                *g = f(z, t);
            }
        })
    }
    let nan = T::from_f64(f64::NAN);
    let cases = [
        each(move |z, t| scalar::loss(z, t).unwrap_or(nan)),
        each(T::std_loss),
        each(move |z, t| scalar::gradient(z, t).unwrap_or(nan)),
        each(|z, t| T::std_gradient(z, t).0),
    ];
    let times = measure(options.rounds, &mut Buffers::typical(RING), &cases);
    for (name, times) in ["loss", "gradient"].iter().zip(times.chunks(2)) {
        let mut row = vec![T::NAME.into(), (*name).into()];
        row.extend(times.iter().map(|&ns| number(ns, 1)));
        row.push(number(times[0] / times[1], 2));
        table.push(row);
    }
}

/// In multiply-adds: points of `f32` in cache, under the roofs of the same run.
fn picture(options: &Options, rows: &[Row], bandwidths: &[f64]) -> Result<(), Box<dyn Error>> {
    // Without functions of a logit, which lie where others do, and backends far below.
    let single = rows.iter().filter(|row| {
        row.element == "f32"
            && row.mode.is_empty()
            && matches!(row.task, Task::Call(_))
            && arithmetic("f32", row.backend).is_some()
    });
    let points = single.clone().filter_map(|row| {
        let [count, _] = work("f32", row.task)?;
        Some(Point {
            backend: row.backend.name(),
            operation: row.task.name(),
            intensity: count / bytes::<f32>(row.task),
            rate: count / row.ns,
        })
    });
    let mut roofs = Vec::new();
    let moved = |row: &&Row| row.task == Task::Call(Operation::SumGradient);
    let in_cache = single
        .clone()
        .find(moved)
        .map(|row| bytes::<f32>(row.task) / row.traffic);
    let of_memory = bandwidths.get(3).map(|ns| bytes::<f32>(Task::ALL[3]) / ns);
    for (place, bandwidth) in [("16 K elements", in_cache), ("16 M elements", of_memory)] {
        if let Some(bandwidth) = bandwidth {
            let text = format!("traffic of {place}, {bandwidth:.0} GB/s");
            roofs.push(Roof::Bandwidth(text, bandwidth));
        }
    }
    for backend in BACKENDS {
        if let Some([ns, _]) = arithmetic("f32", backend) {
            let text = format!("{}, {:.0} multiply-adds a ns", backend.name(), 1.0 / ns);
            roofs.push(Roof::Peak(text, 1.0 / ns));
        }
    }
    let points: Vec<Point> = points.collect();
    roofline(&options.out.join("roofline.svg"), &points, &roofs)
}

const HEAD: &str = "\
Made by `cargo run --profile dependent-release -p soft-bce-report --bin report`. One thread; times of that thread in nanoseconds an element
unless a head says otherwise, lower quartiles of rounds in which everything in a table is measured in turn. Logits of
standard deviation 3, targets uniform in [0, 1).";

const IN_CACHE_TEXT: &str = "\
## In cache: 16,384 elements

`std / this`: how many times as long the textbook formulas with std's `exp` and `ln_1p` take. `this / base`: against
commit c573f7e in the same processes, of which the median counts. The last columns say what bounds an operation. Instructions a cycle are those that callgrind counts
(`docs/speed/instructions.txt`). Multiply-adds, divisions and traffic are what the operation's own
would take if nothing else were done, in percent of its time: each was timed alone in this run. Near 100 is
the bound; what is far from all of them waits for the order of its operations, or is bound by those that are none of these.";

const LONG_TEXT: &str = "\
## Beyond the caches: 16,777,216 elements

The median, least and greatest of the processes, each of which has its own memory.
Traffic is that of a loop with ordinary stores; those past the caches, which the library takes where they
win, move less.";

const SHORT_TEXT: &str = "\
## Short calls

Nanoseconds per call of `Bce::new()`, dispatch and checks included, at changing places.";

const SCALAR_TEXT: &str = "\
## One element at a time

`soft_bce::scalar` in a loop, against the textbook formulas by std's `exp` and `ln_1p` in the same loop.";

const CLIFFS_TEXT: &str = "\
## Inputs that could be slow

`sum_gradient`, 16,384 elements unless named. At most 3 times the typical input's time, in exact mode 8, is wanted.";

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let base = options.base.as_deref().map(Base::load).transpose()?;
    if let (Some(part), Some(element)) = (&options.part, &options.element) {
        let times = match (part.as_str(), element.as_str()) {
            ("cache", "f32") => cache_part::<f32>(&options, base)?,
            ("cache", _) => cache_part::<f64>(&options, base)?,
            (_, "f32") => long_part::<f32>(&options, base),
            _ => long_part::<f64>(&options, base),
        };
        for time in times {
            println!("{time}");
        }
        return Ok(());
    }
    let clock = gigahertz();
    let mut rows = in_cache::<f32>(&options)?;
    rows.extend(in_cache::<f64>(&options)?);
    let clock = f64::midpoint(clock, gigahertz());

    let mut long_table = Table::new(&[
        "type",
        "operation",
        "ns",
        "least",
        "greatest",
        "this / base",
        "traffic %",
    ]);
    let traffics = long::<f32>(&options, &mut long_table)?;
    long::<f64>(&options, &mut long_table)?;
    let lengths = SHORT.map(|n| n.to_string());
    let mut head = vec!["type", "operation", "of"];
    head.extend(lengths.iter().map(String::as_str));
    let mut short_table = Table::new(&head);
    short::<f32>(&options, base, &mut short_table);
    short::<f64>(&options, base, &mut short_table);
    let mut scalar_table = Table::new(&["type", "function", "ns", "std", "this / std"]);
    scalars::<f32>(&options, &mut scalar_table);
    scalars::<f64>(&options, &mut scalar_table);

    let compiled: Vec<&str> = [
        ("sse2", cfg!(target_feature = "sse2")),
        ("avx2", cfg!(target_feature = "avx2")),
        ("fma", cfg!(target_feature = "fma")),
    ]
    .into_iter()
    .filter_map(|(name, has)| has.then_some(name))
    .collect();
    let missing = BACKENDS.iter().filter(|backend| !backend.is_available());
    let missing: Vec<&str> = missing.map(|backend| backend.name()).collect();
    let mut text = format!(
        "# Speed\n\n{HEAD}\n\n{}, commit {}. CPU: {}, {clock:.2} GHz (dependent additions). Compiled for {} with \
         {}, which is what `wide` uses. {} rounds, {} processes.{}\n",
        output("date", &["-u", "+%-d %B %Y"]),
        output("git", &["-C", ROOT, "rev-parse", "--short", "HEAD"]),
        cpu(),
        std::env::consts::ARCH,
        compiled.join(", "),
        options.rounds,
        options.processes,
        if missing.is_empty() {
            String::new()
        } else {
            format!(
                " Not run, since this machine lacks it: {}.",
                missing.join(", ")
            )
        },
    );
    for (title, table) in [
        (IN_CACHE_TEXT, task_table(&rows, clock)?),
        (LONG_TEXT, long_table),
        (SHORT_TEXT, short_table),
        (SCALAR_TEXT, scalar_table),
        (CLIFFS_TEXT, cliffs::table(options.rounds)?),
    ] {
        text += &format!("\n{title}\n\n{}", table.markdown());
        if title == IN_CACHE_TEXT {
            text += "\n![f32 operations under the roofs of the same run](roofline.svg)\n";
        }
    }
    print!("{text}");
    std::fs::create_dir_all(&options.out)?;
    std::fs::write(options.out.join("report.md"), &text)?;
    picture(&options, &rows, &traffics)
}
