//! A scheduler and up to two executors, each a process, on loopback: the bits of one process, with any number
//! of executors, files and partitions, and after one of them was killed in mid-query.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::Float64Type;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{ParquetReadOptions, SessionContext, col};
use fractional_logit::{Covariance, Model, State, Step};
use soft_bce_datafusion::call_of;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Logits of every size, so that floating-point sums depend on the order.
const ROWS: &str = "SELECT id, (id * 7919 % 1999 - 1000) * power(2.0, id % 40 - 36) AS z, \
    id * 37 % 101 / 100.0 AS t, id * 53 % 40 / 20.0 AS w, (id * 5281 % 1777 - 888) / 900.0 AS x \
    FROM (SELECT value AS id FROM generate_series(1, 200000))";
const SUMS: &str = "SELECT bce_sum(z, t), bce_mean(z, t, w), exact_sum(z), exact_sum(bce_loss(z, t)), SUM(z * t / 3) \
    FROM predictions";
/// By region, with functions of rows: the groups' states go through a shuffle.
const GROUPS: &str = "SELECT bce_sum(logit(sigmoid(x)), t), exact_sum(log_sigmoid(z)) FROM predictions \
    GROUP BY id % 5 ORDER BY id % 5";

/// A node, which ends with its value.
struct Node(Child);

impl Node {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_soft-bce-ballista"));
        command.args(arguments).stdout(Stdio::null());
        Self(command.spawn().expect("the program starts"))
    }

    fn kill(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }

    /// Until it listens.
    async fn is_up(&mut self, port: &str) {
        for _ in 0..3000 {
            if TcpStream::connect(format!("127.0.0.1:{port}"))
                .await
                .is_ok()
            {
                return;
            }
            let ended = self.0.try_wait().expect("its state");
            assert!(ended.is_none(), "the node ended: {ended:?}");
            sleep(Duration::from_millis(20)).await;
        }
        panic!("nobody listens on port {port}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ports that nobody listens on.
fn ports<const N: usize>() -> [String; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|of| of.local_addr().expect("its address").port().to_string())
}

struct Cluster {
    port: String,
    /// With the directories of their results.
    executors: Vec<(Node, PathBuf)>,
    _scheduler: Node,
    directory: TempDir,
}

impl Cluster {
    async fn start(executors: usize) -> Self {
        Self::with_timeout(executors, "180").await
    }

    /// An executor is given up, and stopped, after so many seconds without a sign of life.
    async fn with_timeout(executors: usize, seconds: &str) -> Self {
        let [port] = ports();
        let mut scheduler =
            Node::start(&["scheduler", "--port", &port, "--executor-timeout", seconds]);
        scheduler.is_up(&port).await;
        let mut cluster = Self {
            port,
            executors: Vec::new(),
            _scheduler: scheduler,
            directory: tempfile::tempdir().expect("a directory"),
        };
        for _ in 0..executors {
            cluster.add_executor().await;
        }
        cluster
    }

    async fn add_executor(&mut self) {
        let [port, grpc_port] = ports();
        let directory = self.directory.path().join(&port);
        std::fs::create_dir(&directory).expect("a directory");
        let arguments = ["executor", "--port", &port, "--grpc-port", &grpc_port];
        let of_cluster = ["--scheduler-port", &self.port, "--directory"];
        let path = directory.display().to_string();
        let mut node = Node::start(&[&arguments[..], &of_cluster, &[path.as_str()]].concat());
        // Results are served once it is registered.
        node.is_up(&port).await;
        self.executors.push((node, directory));
    }

    async fn connect(&self, data: &Path, partitions: usize) -> Result<SessionContext> {
        let scheduler = format!("df://127.0.0.1:{}", self.port);
        let context = soft_bce_ballista::connect(&scheduler, partitions).await?;
        register(&context, data).await?;
        Ok(context)
    }
}

/// In this process.
async fn alone(data: &Path) -> Result<SessionContext> {
    let mut context = SessionContext::new();
    soft_bce_datafusion::register(&mut context)?;
    register(&context, data).await?;
    Ok(context)
}

async fn register(context: &SessionContext, data: &Path) -> Result<()> {
    let files = format!("{}/", data.display());
    let options = ParquetReadOptions::default();
    context
        .register_parquet("predictions", &files, options)
        .await
}

/// The same rows in as many files.
async fn write(files: usize) -> Result<TempDir> {
    let directory = tempfile::tempdir()?;
    let context = SessionContext::new();
    for file in 0..files {
        let path = directory.path().join(format!("{file}.parquet"));
        let path = path.display();
        let write =
            format!("COPY ({ROWS} WHERE id % {files} = {file}) TO '{path}' STORED AS PARQUET");
        context.sql(&write).await?.collect().await?;
    }
    Ok(directory)
}

/// The bits of a result's numbers, row by row.
fn bits(batches: &[RecordBatch]) -> Vec<u64> {
    let number = |column: &ArrayRef, row| column.as_primitive::<Float64Type>().value(row).to_bits();
    let rows = batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
    rows.flat_map(|(batch, row)| {
        batch
            .columns()
            .iter()
            .map(move |column| number(column, row))
    })
    .collect()
}

async fn query(context: &SessionContext, sql: &str) -> Result<Vec<u64>> {
    Ok(bits(&context.sql(sql).await?.collect().await?))
}

/// The bits of the coefficients and covariances of a fit whose passes are queries.
async fn fit(context: &SessionContext, weight: Option<Expr>) -> Result<Vec<u64>> {
    let rows = context.table("predictions").await?;
    let mut solver = Model::new().solver(1).expect("a column");
    loop {
        let call = call_of(solver.task(), col("t"), weight.clone(), vec![col("x")])?;
        let batches = rows
            .clone()
            .aggregate(vec![], vec![call])?
            .collect()
            .await?;
        let batch = batches
            .iter()
            .find(|batch| batch.num_rows() == 1)
            .expect("a row");
        let state = batch.column(0).as_binary::<i32>().value(0);
        let state = State::from_bytes(state).expect("a state");
        if let Step::Done(fit) = solver.step(&state).expect("a fit") {
            let covariance = fit.covariance(Covariance::Hc0).expect("errors");
            let numbers = fit.coefficients().iter().chain(&covariance);
            return Ok(numbers.map(|number| number.to_bits()).collect());
        }
    }
}

/// What an executor has written for others to fetch.
fn results(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .map(|path| if path.is_dir() { results(&path) } else { 1 })
        .sum()
}

#[tokio::test]
async fn any_number_of_executors_files_and_partitions() -> Result<()> {
    let mut data = Vec::new();
    for (files, partitions) in [(1, 1), (3, 2), (8, 8)] {
        data.push((write(files).await?, files, partitions));
    }
    let context = alone(data[0].0.path()).await?;
    let wanted = query(&context, SUMS).await?;
    let groups = query(&context, GROUPS).await?;
    let (plain, weighted) = (
        fit(&context, None).await?,
        fit(&context, Some(col("w"))).await?,
    );
    assert_eq!((wanted.len(), groups.len(), plain.len()), (5, 10, 6));
    assert_ne!(plain, weighted);
    let mut of_sum = vec![wanted[4]];
    for executors in [1, 2] {
        let cluster = Cluster::start(executors).await;
        for (data, files, partitions) in &data {
            let what = format!("{executors} executors, {files} files, {partitions} partitions");
            let context = cluster.connect(data.path(), *partitions).await?;
            let found = query(&context, SUMS).await?;
            assert_eq!(found[..4], wanted[..4], "{what}");
            assert_eq!(query(&context, GROUPS).await?, groups, "{what}");
            assert_eq!(fit(&context, None).await?, plain, "{what}");
            assert_eq!(fit(&context, Some(col("w"))).await?, weighted, "{what}");
            of_sum.push(found[4]);
        }
        // Each has had some of the work.
        for (_, directory) in &cluster.executors {
            assert!(
                results(directory) > 0,
                "an executor of {executors} has done nothing"
            );
        }
    }
    // The engine's own sum is what the rows are chosen to change.
    assert!(of_sum.iter().any(|sum| *sum != of_sum[0]), "{of_sum:?}");
    Ok(())
}

#[tokio::test]
async fn an_executor_killed_in_mid_query() -> Result<()> {
    const FILES: usize = 24;
    let data = write(FILES).await?;
    let wanted = query(&alone(data.path()).await?, SUMS).await?;
    let mut cluster = Cluster::with_timeout(2, "10").await;
    for moment in ["before its first result", "after it"] {
        let context = cluster.connect(data.path(), FILES).await?;
        assert_eq!(query(&context, SUMS).await?[..4], wanted[..4]);
        let (killed, directory) = &mut cluster.executors[1];
        let before = results(directory);
        let running = tokio::spawn({
            let context = context.clone();
            async move { query(&context, SUMS).await }
        });
        if moment == "after it" {
            while results(directory) == before {
                assert!(
                    !running.is_finished(),
                    "the executor has had none of the work"
                );
                sleep(Duration::from_millis(1)).await;
            }
        } else {
            sleep(Duration::from_millis(10)).await;
        }
        killed.kill();
        assert!(
            !running.is_finished(),
            "the query is over before the executor is killed"
        );
        let found = timeout(Duration::from_secs(120), running)
            .await
            .expect("an answer");
        match found.expect("no panic") {
            Ok(found) => assert_eq!(found[..4], wanted[..4], "killed {moment}"),
            Err(error) => println!("killed {moment}: {error}"),
        }
        // With the one that is left, and with another in the place of the one killed.
        assert_eq!(query(&context, SUMS).await?[..4], wanted[..4]);
        cluster.executors.truncate(1);
        cluster.add_executor().await;
    }
    Ok(())
}

/// A bad target fails the query by name, and leaves the cluster as it was.
#[tokio::test]
async fn a_bad_target() -> Result<()> {
    let data = write(3).await?;
    let cluster = Cluster::start(1).await;
    let context = cluster.connect(data.path(), 3).await?;
    let bad = "SELECT bce_sum(z, t + CASE id WHEN 777 THEN 1.5 ELSE 0 END) FROM predictions";
    let error = query(&context, bad).await.unwrap_err().to_string();
    assert!(error.contains("TargetOutOfRange"), "{error}");
    assert!(error.contains("bce_sum of a batch of"), "{error}");
    let wanted = query(&alone(data.path()).await?, SUMS).await?;
    assert_eq!(query(&context, SUMS).await?[..4], wanted[..4]);
    Ok(())
}

/// An executor that was started without the functions fails the query.
#[tokio::test]
async fn an_executor_without_the_functions() -> Result<()> {
    let data = write(3).await?;
    let cluster = Cluster::start(0).await;
    let [port, grpc_port] = ports();
    let directory = cluster.directory.path().display().to_string();
    let number = |port: &String| port.parse().expect("a port");
    let config = ExecutorProcessConfig {
        port: number(&port),
        grpc_port: number(&grpc_port),
        scheduler_host: "127.0.0.1".to_string(),
        scheduler_port: number(&cluster.port),
        external_host: Some("127.0.0.1".to_string()),
        work_dir: Some(directory),
        executor_heartbeat_interval_seconds: 1,
        ..ExecutorProcessConfig::default()
    };
    let executor = tokio::spawn(start_executor_process(Arc::new(config)));
    let context = cluster.connect(data.path(), 3).await?;
    let found = timeout(Duration::from_secs(120), query(&context, SUMS)).await;
    let error = found.expect("an answer").unwrap_err().to_string();
    assert!(error.contains("rejected by executor"), "{error}");
    executor.abort();
    Ok(())
}
