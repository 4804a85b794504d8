//! Fits in passes of SQL against `fractional-logit` on the same rows, bit for bit, whatever the
//! partitions, batches, groups and order of rows.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, Int32Array};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::{SessionConfig, SessionContext, col};
use fractional_logit::{Covariance, Data, Error, Features, Fit, Model, Place, State, Step, Value};
use soft_bce_datafusion::call_of;

/// Rows of a fit: targets, weights, columns of features. Where `valid` is false, one of them is NULL.
struct Rows {
    valid: Vec<bool>,
    group: Vec<i32>,
    t: Vec<f64>,
    w: Vec<f64>,
    x: Vec<Vec<f64>>,
}

fn rows(count: usize, columns: usize) -> Rows {
    let value =
        |row: usize, column: usize| 2.0 * (row as f64 * (column as f64 + 2.0).ln()).fract() - 1.0;
    let x: Vec<Vec<f64>> = (0..columns)
        .map(|column| (0..count).map(|row| value(row, column)).collect())
        .collect();
    let target = |row: usize| {
        let logit: f64 = (0..columns).map(|j| x[j][row] / (j as f64 + 1.0)).sum();
        let noise = value(row, columns + 3) / 4.0;
        (1.0 / (1.0 + (-logit).exp()) + noise).clamp(0.0, 1.0)
    };
    Rows {
        valid: (0..count).map(|i| i % 11 != 5).collect(),
        group: (0..count).map(|i| (i * i % 3) as i32).collect(),
        t: (0..count).map(target).collect(),
        w: (0..count).map(|i| (i * 53 % 40) as f64 / 20.0).collect(),
        x,
    }
}

impl Rows {
    /// The indices of rows of a group, or of all, that count.
    fn of(&self, group: Option<i32>) -> Vec<usize> {
        let counts = |&i: &usize| self.valid[i] && group.is_none_or(|group| self.group[i] == group);
        (0..self.t.len()).filter(counts).collect()
    }

    /// What `fractional-logit` makes of these rows.
    fn fit<T: Value>(&self, rows: &[usize], weighted: bool) -> Fit {
        let pick = |of: &[f64]| rows.iter().map(|&i| T::narrow(of[i])).collect::<Vec<T>>();
        let x: Vec<Vec<T>> = self.x.iter().map(|column| pick(column)).collect();
        let x: Vec<&[T]> = x.iter().map(Vec::as_slice).collect();
        let (t, w) = (pick(&self.t), pick(&self.w));
        let data = Data::new(Features::columns(&x, rows.len()).unwrap(), &t);
        let data = if weighted { data.weights(&w) } else { data };
        Model::new().fit(&data).unwrap()
    }

    /// A table in as many partitions, of batches of `batch` rows, in an order that starts at `first`.
    fn table(
        &self,
        partitions: usize,
        batch: usize,
        first: usize,
        single: bool,
    ) -> Result<SessionContext> {
        let config = SessionConfig::new().with_target_partitions(partitions);
        let mut context = SessionContext::new_with_config(config);
        soft_bce_datafusion::register(&mut context)?;
        let count = self.t.len();
        let order: Vec<usize> = (0..count).map(|i| (i * 7 + first) % count).collect();
        let kind = if single {
            DataType::Float32
        } else {
            DataType::Float64
        };
        let mut fields = vec![Field::new("g", DataType::Int32, true)];
        let names = ["t".into(), "w".into()].into_iter();
        let names = names.chain((0..self.x.len()).map(|j| format!("x{j}")));
        fields.extend(names.map(|name: String| Field::new(name, kind.clone(), true)));
        let schema = Arc::new(Schema::new(fields));
        let of_rows = |rows: &[usize]| -> Result<RecordBatch> {
            let columns = [&self.t, &self.w].into_iter().chain(&self.x);
            let number = |(place, column): (usize, &Vec<f64>)| -> ArrayRef {
                // Each row that does not count has its NULL in another column.
                let value = |&i: &usize| {
                    (self.valid[i] || i % (self.x.len() + 2) != place).then(|| column[i])
                };
                if single {
                    let value = |i| value(i).map(|value| value as f32);
                    Arc::new(rows.iter().map(value).collect::<Float32Array>())
                } else {
                    Arc::new(rows.iter().map(value).collect::<Float64Array>())
                }
            };
            let groups: Int32Array = rows.iter().map(|&i| self.group[i]).collect();
            let mut arrays: Vec<ArrayRef> = vec![Arc::new(groups)];
            arrays.extend(columns.enumerate().map(number));
            Ok(RecordBatch::try_new(Arc::clone(&schema), arrays)?)
        };
        let partition =
            |rows: &[usize]| rows.chunks(batch).map(of_rows).collect::<Result<Vec<_>>>();
        let parts: Result<Vec<_>> = order
            .chunks(count.div_ceil(partitions))
            .map(partition)
            .collect();
        let table = MemTable::try_new(schema, parts?)?;
        context.register_table("data", Arc::new(table))?;
        Ok(context)
    }
}

/// The state of a pass over all rows of the frame.
async fn pass(
    rows: &DataFrame,
    solver: &fractional_logit::Solver,
    weight: &str,
    columns: usize,
) -> Result<State> {
    let weight = (!weight.is_empty()).then(|| col(weight));
    let features = (0..columns).map(|j| col(format!("x{j}"))).collect();
    let call = call_of(solver.task(), col("t"), weight, features)?;
    let batches = rows
        .clone()
        .aggregate(vec![], vec![call])?
        .collect()
        .await?;
    let states = batches[0].column(0).as_binary::<i32>();
    if states.is_null(0) {
        return Ok(solver.task().start());
    }
    State::from_bytes(states.value(0)).map_err(|error| DataFusionError::External(Box::new(error)))
}

async fn fit(rows: &DataFrame, weight: &str, columns: usize) -> Fit {
    let mut solver = Model::new().solver(columns).unwrap();
    loop {
        let state = pass(rows, &solver, weight, columns).await.unwrap();
        if let Step::Done(fit) = solver.step(&state).unwrap() {
            return *fit;
        }
    }
}

fn bits(fit: &Fit) -> Vec<u64> {
    let errors = fit.standard_errors(Covariance::Hc0).unwrap();
    let of_all = [fit.sum_loss(), fit.mean_excess(), fit.observations()];
    let numbers = fit.coefficients().iter().chain(&errors).chain(&of_all);
    numbers.map(|number| number.to_bits()).collect()
}

#[tokio::test]
async fn the_bits_of_one_machine() -> Result<()> {
    let rows = rows(1000, 4);
    let all = rows.of(None);
    let weighted = bits(&rows.fit::<f64>(&all, true));
    // A NULL weight, the second of six columns, removes no row where weights are not asked for.
    let known = (0..1000).filter(|&i| rows.valid[i] || i % 6 == 1);
    let plain = bits(&rows.fit::<f64>(&known.collect::<Vec<_>>(), false));
    assert_ne!(plain, weighted);
    let single = bits(&rows.fit::<f32>(&all, true));
    for (partitions, batch) in [(1, 1000), (2, 64), (3, 47), (8, 300), (500, 1)] {
        let frame = rows
            .table(partitions, batch, partitions, false)?
            .table("data")
            .await?;
        assert_eq!(
            bits(&fit(&frame, "", 4).await),
            plain,
            "{partitions} partitions"
        );
        assert_eq!(
            bits(&fit(&frame, "w", 4).await),
            weighted,
            "{partitions} partitions"
        );
        let frame = rows
            .table(partitions, batch, 5, true)?
            .table("data")
            .await?;
        assert_eq!(
            bits(&fit(&frame, "w", 4).await),
            single,
            "{partitions} partitions"
        );
    }
    Ok(())
}

/// So many that the passes are those of the linear head.
#[tokio::test]
async fn many_rows() -> Result<()> {
    let rows = rows(50_000, 10);
    let wanted = bits(&rows.fit::<f64>(&rows.of(None), true));
    let known = (0..50_000).filter(|&i| rows.valid[i] || i % 12 == 1);
    let known: Vec<usize> = known.collect();
    let (plain, single) = (
        rows.fit::<f64>(&known, false),
        rows.fit::<f32>(&known, false),
    );
    for (partitions, batch) in [(1, 50_000), (3, 4096), (4, 999)] {
        let frame = rows
            .table(partitions, batch, partitions, false)?
            .table("data")
            .await?;
        let what = format!("{partitions} partitions");
        assert_eq!(bits(&fit(&frame, "w", 10).await), wanted, "{what}");
        assert_eq!(bits(&fit(&frame, "", 10).await), bits(&plain), "{what}");
        let frame = rows
            .table(partitions, batch, partitions, true)?
            .table("data")
            .await?;
        assert_eq!(bits(&fit(&frame, "", 10).await), bits(&single), "{what}");
    }
    Ok(())
}

/// A model for each group, by SQL: a table of tasks, one for each.
#[tokio::test]
async fn groups() -> Result<()> {
    let rows = rows(1000, 2);
    let context = rows.table(3, 47, 1, false)?;
    let groups = [0, 1];
    let mut solvers = groups.map(|_| Model::new().solver(2).unwrap());
    let mut fits = [None, None];
    while fits.iter().any(Option::is_none) {
        let hex = |bytes: Vec<u8>| {
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        let tasks = groups.map(|group| {
            let task = hex(solvers[group as usize].task().to_bytes().unwrap());
            format!("({group}, X'{task}')")
        });
        let sql = format!(
            "SELECT g, fractional_logit_state(task, t, w, x0, x1) FROM data JOIN (VALUES {}) AS of(k, task) ON g = k \
             GROUP BY g ORDER BY g",
            tasks.join(", ")
        );
        let frame = context.sql(&sql).await?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batch = datafusion::arrow::compute::concat_batches(&schema, &frame.collect().await?)?;
        assert_eq!(
            batch.column(0).as_primitive::<Int32Type>().values(),
            &groups
        );
        for (group, state) in batch.column(1).as_binary::<i32>().iter().enumerate() {
            if fits[group].is_none() {
                let state = State::from_bytes(state.unwrap()).unwrap();
                if let Step::Done(fit) = solvers[group].step(&state).unwrap() {
                    fits[group] = Some(fit);
                }
            }
        }
    }
    for (group, fit) in groups.into_iter().zip(fits) {
        let wanted = rows.fit::<f64>(&rows.of(Some(group)), true);
        assert_eq!(bits(&fit.unwrap()), bits(&wanted), "group {group}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_null() -> Result<()> {
    let rows = rows(100, 1);
    let context = rows.table(3, 10, 0, false)?;
    let none = context.sql("SELECT * FROM data WHERE g = 7").await?;
    let mut solver = Model::new().solver(1).unwrap();
    let state = pass(&none, &solver, "w", 1).await?;
    assert!(matches!(
        solver.step(&state),
        Err(Error::TooFewRows { rows: 0, .. })
    ));
    Ok(())
}

/// The error of `fractional-logit` behind one of DataFusion.
fn root(error: &DataFusionError) -> Option<&Error> {
    let mut at: &(dyn std::error::Error + 'static) = error;
    loop {
        match at.downcast_ref::<Error>() {
            Some(error) => return Some(error),
            None => at = at.source()?,
        }
    }
}

#[tokio::test]
async fn what_is_refused() -> Result<()> {
    let mut rows = rows(300, 2);
    // The order of rows is that of multiples of 7: row 70 is in place 10 of the first batch.
    rows.t[70] = 1.5;
    let context = rows.table(3, 20, 0, false)?;
    let frame = context.table("data").await?;
    let solver = Model::new().solver(2).unwrap();
    let error = pass(&frame, &solver, "w", 2).await.unwrap_err();
    let Some(Error::Value {
        of: Place::Target,
        row: 10,
        value: 1.5,
        ..
    }) = root(&error)
    else {
        panic!("{error}");
    };
    let error = pass(&frame, &solver, "w", 1).await.unwrap_err();
    let wanted = Error::LengthMismatch {
        argument: "columns",
        expected: 2,
        found: 1,
    };
    assert_eq!(root(&error), Some(&wanted));

    let task = solver.task().to_bytes().unwrap();
    let hex: String = task.iter().map(|byte| format!("{byte:02x}")).collect();
    let malformed = "the bytes are no task";
    for (arguments, part) in [
        ("X'00', t, w, x0, x1".to_string(), malformed),
        ("X'', t, w, x0, x1".to_string(), malformed),
        (format!("X'{hex}00', t, w, x0, x1"), malformed),
        (
            format!("CASE WHEN g = 0 THEN X'{hex}' ELSE X'{hex}20' END, t, w, x0, x1"),
            "different tasks",
        ),
        (format!("X'{hex}', t, -w, x0, x1"), "weight"),
        (format!("X'{hex}', t, w, x0, x1 / 0"), "feature 1"),
        (format!("X'{hex}', t"), "takes a task"),
        (format!("X'{hex}', t, NULL"), "columns"),
        (format!("X'{hex}', t, NULL, x0, x1 / 0"), "feature 1"),
        (format!("X'{hex}', 'a', NULL, x0"), "takes numbers"),
        (format!("X'{hex}', 'a', w, x0, x1"), "takes numbers"),
        (
            "t, t, w, x0, x1".to_string(),
            "takes the bytes of a task, not Float64",
        ),
        (format!("DISTINCT X'{hex}', t, w, x0, x1"), "DISTINCT"),
        (String::new(), "fractional_logit_state"),
    ] {
        let sql = format!("SELECT fractional_logit_state({arguments}) FROM data WHERE t <= 1");
        let result = async { context.sql(&sql).await?.collect().await };
        let error = result.await.unwrap_err().to_string();
        assert!(error.contains(part), "{arguments}: {error}");
    }
    // Groups that each have a task of their own are no error; the session goes on.
    let sql = format!(
        "SELECT g, fractional_logit_state(CASE WHEN g = 0 THEN X'{hex}' ELSE X'{hex}20' END, t, w, x0, x1) \
         FROM data WHERE t <= 1 GROUP BY g"
    );
    let batches = context.sql(&sql).await?.collect().await?;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    Ok(())
}
