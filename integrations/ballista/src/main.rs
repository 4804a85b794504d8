//! A scheduler or an executor that knows the functions, on the loopback interface.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;
use clap::Parser;

const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A node of a Ballista cluster on the loopback interface.
#[derive(Parser)]
enum Node {
    /// Plans queries, and hands out their tasks.
    Scheduler {
        /// Where it listens.
        #[arg(long, default_value_t = 50050)]
        port: u16,
        /// After how many seconds without a sign of life an executor is given up.
        #[arg(long, default_value_t = 180)]
        executor_timeout: u64,
    },
    /// Runs tasks.
    Executor {
        /// Where its results are fetched.
        #[arg(long, default_value_t = 50051)]
        port: u16,
        /// Where it is told what to do.
        #[arg(long, default_value_t = 50052)]
        grpc_port: u16,
        /// The scheduler's port.
        #[arg(long, default_value_t = 50050)]
        scheduler_port: u16,
        /// How many tasks it runs at a time.
        #[arg(long, default_value_t = 1)]
        tasks: usize,
        /// For its results.
        #[arg(long)]
        directory: PathBuf,
    },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match Node::parse() {
        Node::Scheduler {
            port,
            executor_timeout,
        } => {
            let config = SchedulerConfig {
                external_host: HOST.to_string(),
                bind_port: port,
                executor_timeout_seconds: executor_timeout,
                expire_dead_executor_interval_seconds: (executor_timeout / 4).max(1),
                no_executors_grace_period_seconds: executor_timeout,
                override_session_builder: Some(Arc::new(soft_bce_ballista::session_state)),
                ..SchedulerConfig::default()
            };
            let cluster = BallistaCluster::new_from_config(&config).await?;
            start_server(cluster, SocketAddr::from((HOST, port)), Arc::new(config)).await?;
        }
        Node::Executor {
            port,
            grpc_port,
            scheduler_port,
            tasks,
            directory,
        } => {
            let config = ExecutorProcessConfig {
                bind_host: HOST.to_string(),
                external_host: Some(HOST.to_string()),
                port,
                grpc_port,
                scheduler_host: HOST.to_string(),
                scheduler_port,
                scheduler_connect_timeout_seconds: 60,
                vcores: tasks,
                work_dir: Some(directory.display().to_string()),
                executor_heartbeat_interval_seconds: 1,
                override_function_registry: Some(soft_bce_ballista::function_registry()?),
                ..ExecutorProcessConfig::default()
            };
            start_executor_process(Arc::new(config)).await?;
        }
    }
    Ok(())
}
