//! The web server: requests per second, and guest instructions per request.
//!
//! One file from virtio-fs is fetched over kept connections. For requests per second both systems are up at the same
//! time and `wrk` goes to them in turn, one short run each, again and again; the medians of these runs, made in the same
//! minutes, are compared. For instructions each system is up alone under the counting plugin, and the client of
//! [`crate::client`] asks in rounds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::client::Client;
use crate::counters::{Counters, Plugin};
use crate::guest::{Echo, Guest};
use crate::image::Image;
use crate::linux::{self, Linux};
use crate::machine::{ANY_CPU, Accel, Card, Pace, QEMU, Setup, System};
use crate::network::{self, Link, Netdev};
use crate::options::GuestOptions;
use crate::scratch::Scratch;
use crate::share::{self, FILE_NAME, Virtiofsd};
use crate::stats::{Samples, grouped, ratio};
use crate::table::Table;
use crate::{toro, wrk};

/// How long a guest may take to answer its first request.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The same under the counting plugin, which slows guests down several times.
const COUNTED_START_LIMIT: Duration = Duration::from_secs(240);
/// How long one answer may take while instructions are counted.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// Parts of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Requests per second, with wrk
    Requests,
    /// Guest instructions per request
    Instructions,
}

/// Options of `bench web`.
#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    guest: GuestOptions,
    /// Networks to measure over
    #[arg(long, value_enum, value_delimiter = ',', default_value = "user")]
    netdev: Vec<Netdev>,
    /// Numbers of connections
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    connections: Vec<usize>,
    /// Seconds of each run of wrk
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Runs of each measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Size of the file in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    size: usize,
    /// Requests of each count of instructions
    #[arg(long, value_name = "N", default_value_t = 1024)]
    requests: usize,
    /// Measure only these parts
    #[arg(long, value_enum, value_delimiter = ',', default_value = "requests,instructions")]
    only: Vec<Part>,
    /// Measure only these systems
    #[arg(long, value_enum, value_delimiter = ',', default_value = "toro,linux")]
    systems: Vec<Who>,
    /// Boot this image instead of building static-web-server
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
}

/// The systems that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Who {
    /// Toro with static-web-server
    Toro,
    /// The Linux guest with nginx, where --linux-baseline gives one
    Linux,
}

/// A system that takes part.
enum Contestant {
    Toro(Image),
    Linux(Linux),
}

impl Contestant {
    fn name(&self) -> &'static str {
        match self {
            Self::Toro(_) => "toro",
            Self::Linux(_) => "linux",
        }
    }

    /// Where it serves the share.
    fn root(&self) -> &'static str {
        match self {
            Self::Toro(_) => "/",
            Self::Linux(_) => linux::SHARE_PATH,
        }
    }

    fn system(&self, options: &GuestOptions, link: &Link) -> System {
        match self {
            Self::Toro(image) => toro::system(&image.path, options.machine, Some(link), &options.append),
            Self::Linux(linux) => linux.web_server(options.machine, link),
        }
    }
}

/// A guest that serves, with what it needs; dropped in this order.
struct Server<'a> {
    guest: Guest,
    _share: Virtiofsd,
    link: &'a Link,
    path: String,
}

/// Everything that the measurements share.
struct Bench<'a> {
    options: &'a Options,
    scratch: &'a Path,
    contestants: Vec<Contestant>,
    share: PathBuf,
    body: Vec<u8>,
}

/// Runs the benchmark and prints its tables.
///
/// # Errors
///
/// A tool is missing, a guest does not serve the file as it is, or a measurement fails.
pub fn run(options: &Options) -> Result<()> {
    let wrk_needed = options.only.contains(&Part::Requests);
    ensure!(options.connections.iter().all(|count| (1..=1024).contains(count)), "--connections: 1 to 1024 each");
    ensure!(options.size <= 16 << 20, "--size: at most 16 MiB");
    if wrk_needed {
        wrk::check()?;
    }
    let mut contestants = Vec::new();
    if options.systems.contains(&Who::Toro) {
        contestants.push(Contestant::Toro(match &options.image {
            Some(path) => Image { name: "static-web-server", path: path.clone() },
            None => Image::build("static-web-server")?,
        }));
    }
    if let (Some(directory), true) = (&options.guest.linux_baseline, options.systems.contains(&Who::Linux)) {
        contestants.push(Contestant::Linux(Linux::open(directory)?));
    }
    ensure!(!contestants.is_empty(), "nothing to measure: --systems linux needs --linux-baseline");
    // After the build, which may want to fetch something: there is no way out of the namespace.
    if options.netdev.contains(&Netdev::Tap) {
        network::enter_namespace()?;
    }
    let scratch = Scratch::new()?;
    let plugin = options.only.contains(&Part::Instructions).then(|| Plugin::build(scratch.path())).transpose()?;
    let (share, body) = share::create(scratch.path(), options.size)?;
    let bench = Bench { options, scratch: scratch.path(), contestants, share, body };
    println!("{}", crate::options::heading());
    for &netdev in &options.netdev {
        let links =
            (0..).zip(&bench.contestants).map(|(index, _)| Link::create(netdev, index)).collect::<Result<Vec<_>>>()?;
        if wrk_needed {
            println!("{}", bench.requests(&links)?);
        }
        if let Some(plugin) = &plugin {
            println!("{}", bench.instructions(&links, plugin)?);
        }
    }
    Ok(())
}

impl Bench<'_> {
    /// Boots a system and waits until it serves the file as it is.
    fn serve<'a>(&self, who: &Contestant, link: &'a Link, counters: Option<&Counters>) -> Result<Server<'a>> {
        let options = &self.options.guest;
        let share = Virtiofsd::start(self.scratch, who.name(), &self.share, options.cache)?;
        let setup = Setup {
            machine: options.machine,
            accel: if counters.is_some() { Accel::Tcg } else { options.accel },
            cpu: ANY_CPU,
            vcpus: 1,
            pace: Pace::Host,
            memory: options.memory,
            links: &[link],
            card: Card::Virtio,
            share: Some(&share),
            disk: None,
            counters,
        };
        let echo = if options.verbose { Echo::Printed } else { Echo::Silent };
        let path = format!("{}{FILE_NAME}", who.root());
        let mut guest = Guest::start(who.name(), &who.system(options, link), &setup, echo)?;
        let limit = if counters.is_some() { COUNTED_START_LIMIT } else { START_LIMIT };
        guest.wait_answer(link.server(), &path, &self.body, limit)?;
        Ok(Server { guest, _share: share, link, path })
    }

    /// Requests per second of all systems, measured in turn.
    fn requests(&self, links: &[Link]) -> Result<Table> {
        #[derive(Clone, Default)]
        struct Cell {
            per_second: Samples,
            cpu: Samples,
            p99: String,
            errors: u64,
        }
        let Options { connections, seconds, repeat, .. } = self.options;
        let pairs = self.contestants.iter().zip(links);
        let mut servers = pairs.map(|(who, link)| self.serve(who, link, None)).collect::<Result<Vec<_>>>()?;
        for server in &servers {
            // Warms up the translator's cache of the guest's code.
            wrk::run(server.link.server(), &server.path, 4, 1)?;
        }
        let mut cells = vec![vec![Cell::default(); servers.len()]; connections.len()];
        for run in 1..=*repeat {
            eprintln!("bench: wrk, run {run} of {repeat}");
            for (row, &connections) in cells.iter_mut().zip(connections) {
                for (cell, server) in row.iter_mut().zip(&mut servers) {
                    let cpu_before = server.guest.cpu_time()?;
                    let report = wrk::run(server.link.server(), &server.path, connections, *seconds)?;
                    let cpu = server.guest.cpu_time()?.saturating_sub(cpu_before);
                    cell.per_second.push(report.per_second);
                    cell.cpu.push(cpu.as_secs_f64() * 1e6 / report.requests as f64);
                    cell.p99 = report.p99;
                    cell.errors += report.socket_errors + report.wrong_status;
                }
            }
        }
        let title = format!("{}, wrk -t1 -cN -d{seconds}s, {repeat} runs each in turn", self.circumstances(links));
        let mut heads = vec!["connections".to_owned()];
        for who in &self.contestants {
            heads.extend([format!("{} req/s", who.name()), "errors".into(), "p99".into(), "CPU us/req".into()]);
        }
        if servers.len() > 1 {
            heads.extend(["toro/linux req/s".into(), "linux/toro CPU".into()]);
        }
        let mut table = Table::new(title, heads);
        for (row, connections) in cells.iter().zip(connections) {
            let mut line = vec![connections.to_string()];
            for cell in row {
                line.extend([
                    cell.per_second.show(grouped),
                    cell.errors.to_string(),
                    cell.p99.clone(),
                    grouped(cell.cpu.median()),
                ]);
            }
            if let [toro, linux] = &row[..] {
                line.push(ratio(toro.per_second.median(), linux.per_second.median()));
                line.push(ratio(linux.cpu.median(), toro.cpu.median()));
            }
            table.row(line);
        }
        Ok(table)
    }

    /// Guest instructions per request of all systems, one after the other.
    fn instructions(&self, links: &[Link], plugin: &Plugin) -> Result<Table> {
        #[derive(Clone, Default)]
        struct Cell {
            instructions: Samples,
            accesses: Samples,
        }
        let Options { connections, repeat, requests, .. } = self.options;
        let mut cells = vec![vec![Cell::default(); self.contestants.len()]; connections.len()];
        let mut idle = Vec::new();
        for (column, (who, link)) in self.contestants.iter().zip(links).enumerate() {
            eprintln!("bench: counting instructions of {}", who.name());
            let counters = plugin.counters(who.name(), &[])?;
            let server = self.serve(who, link, Some(&counters))?;
            for (row, &connections) in cells.iter_mut().zip(connections) {
                let mut client = Client::connect(link.server(), &server.path, connections, ANSWER_LIMIT)?;
                let rounds = requests.div_ceil(connections);
                let measure = |client: &mut Client| -> Result<(f64, f64)> {
                    let before = counters.read_at_rest()?;
                    for _ in 0..rounds {
                        client
                            .round(&self.body)
                            .with_context(|| format!("{}, {connections} connections", who.name()))?;
                    }
                    let after = counters.read_at_rest()?;
                    let per_request = |count: u64| count as f64 / (rounds * connections) as f64;
                    Ok((
                        per_request(after.instructions - before.instructions),
                        per_request(after.accesses - before.accesses),
                    ))
                };
                // The first fills caches on both sides of the network.
                measure(&mut client)?;
                for _ in 0..*repeat {
                    let (instructions, accesses) = measure(&mut client)?;
                    row[column].instructions.push(instructions);
                    row[column].accesses.push(accesses);
                }
            }
            let before = counters.read_at_rest()?;
            std::thread::sleep(Duration::from_secs(1));
            idle.push(counters.read()?.instructions - before.instructions);
        }
        let title = format!(
            "{}, guest instructions per request, {repeat} times {requests} requests, one per connection and round",
            self.circumstances(links)
        );
        let mut heads = vec!["connections".to_owned()];
        for who in &self.contestants {
            heads.extend([format!("{} instructions", who.name()), "MMIO".into()]);
        }
        if idle.len() > 1 {
            heads.push("linux/toro".into());
        }
        let mut table = Table::new(title, heads);
        for (row, connections) in cells.iter().zip(connections) {
            let mut line = vec![connections.to_string()];
            for cell in row {
                line.extend([cell.instructions.show(grouped), format!("{:.1}", cell.accesses.median())]);
            }
            if let [toro, linux] = &row[..] {
                line.push(ratio(linux.instructions.median(), toro.instructions.median()));
            }
            table.row(line);
        }
        let mut line = vec!["idle second".to_owned()];
        for count in &idle {
            line.extend([grouped(*count as f64), String::new()]);
        }
        table.row(line);
        Ok(table)
    }

    /// What a table is about.
    fn circumstances(&self, links: &[Link]) -> String {
        let guest = &self.options.guest;
        let network = links.first().map_or("", |link| link.kind().name());
        format!(
            "{} bytes from virtio-fs (cache={}), {QEMU} -machine {} -m {}, {network} network",
            self.body.len(),
            guest.cache.name(),
            guest.machine.name(),
            guest.memory
        )
    }
}
