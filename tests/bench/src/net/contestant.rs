//! The systems that take part, each with a card and a network of its own.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use super::overlay;
use super::site::{self, Size};
use super::{Options, Part};
use crate::client;
use crate::counters::Counters;
use crate::guest::{Echo, Guest};
use crate::image::Image;
use crate::linux::Linux;
use crate::machine::{ANY_CPU, Accel, Card, Pace, Setup, System};
use crate::network::{Link, Netdev};
use crate::share::{Cache, Virtiofsd};
use crate::toro;

/// How long a guest may take to serve, under the counting plugin and with a card whose link takes seconds.
const START_LIMIT: Duration = Duration::from_secs(240);
/// How long an answer may take.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// The web server on Toro.
const WEB_SERVER: &str = "static-web-server";
/// The server of bulk streams on Toro.
const STREAM_SERVER: &str = "iperf3-server";

/// The systems that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Who {
    /// Toro
    Toro,
    /// The Linux guest, where --linux-baseline gives one
    Linux,
}

/// What a guest is booted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Answers HTTP requests.
    Web,
    /// The same, for many connections.
    Crowd,
    /// Takes and sends streams.
    Stream,
}

/// A system with a card.
pub struct Contestant {
    who: Who,
    card: Card,
    kind: Kind,
    link: Option<Link>,
}

enum Kind {
    Toro { web: Option<Image>, stream: Option<Image>, append: String },
    Linux { linux: Linux, overlay: Vec<u8> },
}

/// A guest that serves, and what it needs; dropped in this order.
pub struct Server<'a> {
    pub guest: Guest,
    _share: Option<Virtiofsd>,
    pub link: &'a Link,
}

/// All that take part: by card, Toro before Linux. Images are built.
pub fn all(options: &Options) -> Result<Vec<Contestant>> {
    let (toro, linux) = (options.systems.contains(&Who::Toro), options.systems.contains(&Who::Linux));
    let linux = options.linux_baseline.as_deref().filter(|_| linux);
    ensure!(toro || linux.is_some(), "nothing to measure: --systems linux needs --linux-baseline");
    let wants = |parts: &[Part]| options.only.iter().any(|part| parts.contains(part));
    let (wants_web, wants_stream) = (wants(&[Part::Requests, Part::Connections]), wants(&[Part::Throughput]));
    let build = |name, wanted: bool| (toro && wanted).then(|| Image::build(name)).transpose();
    let (web, stream) = (build(WEB_SERVER, wants_web)?, build(STREAM_SERVER, wants_stream)?);
    let mut all = Vec::new();
    for &card in &options.cards {
        let (mut add, link) = (|who, kind, link| all.push(Contestant { who, card, kind, link }), || None);
        if toro {
            let append = options.append.clone();
            add(Who::Toro, Kind::Toro { web: web.clone(), stream: stream.clone(), append }, link());
        }
        if let Some(directory) = linux {
            let linux = Linux::open_for_cards(directory, &options.cards)?;
            let overlay = if wants_stream { overlay::with_iperf3()? } else { Vec::new() };
            add(Who::Linux, Kind::Linux { linux, overlay }, link());
        }
    }
    Ok(all)
}

impl Contestant {
    /// Which system.
    pub fn who(&self) -> Who {
        self.who
    }

    /// Which card.
    pub fn card(&self) -> Card {
        self.card
    }

    /// How it is called in tables and in names of files.
    pub fn name(&self) -> &'static str {
        match (self.who, self.card) {
            (Who::Toro, Card::Virtio) => "toro-virtio",
            (Who::Toro, Card::E1000) => "toro-e1000",
            (Who::Linux, Card::Virtio) => "linux-virtio",
            (Who::Linux, Card::E1000) => "linux-e1000",
        }
    }

    /// Makes its network, inside the namespace.
    pub fn connect(&mut self, index: u8) -> Result<()> {
        self.link = Some(Link::create(Netdev::Tap, index)?);
        Ok(())
    }

    /// Boots it with `memory` MiB, and waits until it serves.
    pub fn serve(
        &self,
        service: Service,
        options: &Options,
        memory: u32,
        counters: Option<&Counters>,
        scratch: &Path,
    ) -> Result<Server<'_>> {
        let link = self.link.as_ref().context("connected before it serves")?;
        let needs_share = matches!((&self.kind, service), (Kind::Toro { .. }, Service::Web | Service::Crowd));
        let start = || Virtiofsd::start(scratch, self.name(), &site::create(scratch)?, Cache::Auto);
        let share = needs_share.then(start).transpose()?;
        let setup = Setup {
            machine: options.machine,
            accel: if counters.is_some() { Accel::Tcg } else { options.accel },
            cpu: ANY_CPU,
            vcpus: 1,
            pace: Pace::Host,
            memory,
            links: &[link],
            card: self.card,
            share: share.as_ref(),
            disk: None,
            counters,
        };
        let system = self.system(service, options, link, scratch)?;
        let echo = if options.verbose { Echo::Printed } else { Echo::Silent };
        let mut guest = Guest::start(self.name(), &system, &setup, echo)?;
        match service {
            Service::Web | Service::Crowd => {
                guest.wait_served(link.server(), Size::Line.path(), |body| body.len() == 64, START_LIMIT)?;
            }
            Service::Stream => guest.wait_connection((link.guest(), super::iperf::PORT).into(), START_LIMIT)?,
        }
        Ok(Server { guest, _share: share, link })
    }

    fn system(&self, service: Service, options: &Options, link: &Link, scratch: &Path) -> Result<System> {
        match (&self.kind, service) {
            (Kind::Toro { web: Some(image), append, .. }, Service::Web | Service::Crowd) => {
                let memory = match service {
                    Service::Crowd => format!("net.memory={} ", options.crowd_memory / 3),
                    _ => String::new(),
                };
                let words = format!("preload=on max-connections=65536 {memory}{append}");
                Ok(toro::system(&image.path, options.machine, Some(link), words.trim()))
            }
            (Kind::Toro { stream: Some(image), append, .. }, Service::Stream) => {
                Ok(toro::system(&image.path, options.machine, Some(link), append))
            }
            (Kind::Toro { .. }, _) => unreachable!("what is measured was built"),
            (Kind::Linux { linux, .. }, Service::Web | Service::Crowd) => {
                linux.web_server_in_memory(self.card, link, &[], scratch, "")
            }
            (Kind::Linux { linux, overlay }, Service::Stream) => {
                linux.web_server_in_memory(self.card, link, overlay, scratch, overlay::WORDS)
            }
        }
    }

    /// What it serves at each size, looked at once: whoever asks later knows what has to come.
    pub fn body(server: &Server<'_>, size: Size) -> Result<Vec<u8>> {
        let answer = client::fetch(server.link.server(), size.path(), ANSWER_LIMIT)?;
        ensure!(answer.status == 200, "GET {}: status {}", size.path(), answer.status);
        ensure!(answer.body.len() == size.bytes(), "GET {}: {} bytes", size.path(), answer.body.len());
        Ok(answer.body)
    }
}
