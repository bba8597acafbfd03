//! A controller's host, sensors, and what is on them.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use harness::binaries::{self, Binaries};
use harness::certificates::Authority;
use harness::client::ZeekClient;
use harness::ports;
use harness::processes::MARKER;

use crate::clock::Clocks;
use crate::configuration::Sensor;
use crate::fault::{Fault, Planned, Possible};
use crate::host::Host;
use crate::load::Client;
use crate::network::{HostId, Network, Slowness};
use crate::program::Program;

/// Everything, gone without a trace when dropped.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) sensors: Vec<Sensor>,
    pub(crate) hosts: Vec<Host>,
    /// What this system does not allow, and what is done instead.
    pub(crate) lacks: Vec<String>,
    pub(crate) possible: Possible,
    network: Arc<Network>,
    folder: Folder,
    _certificates: Authority,
}

/// What hosts are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// Namespaces of this machine, if it has them for us.
    Namespaces,
    /// Ports of 127.0.0.1.
    Loopback,
}

/// Removed when dropped.
struct Folder(PathBuf);

/// What all programs are given.
struct Recipe<'a> {
    programs: &'a Binaries,
    certificates: Vec<String>,
    controller: String,
    env: [(&'static str, String); 3],
}

impl Cluster {
    /// Starts it; logs go to this folder.
    ///
    /// # Errors
    /// If something cannot be built, installed or started.
    pub(crate) fn start(sensors: u8, place: Place, logs: &Path) -> io::Result<Self> {
        let mut lacks = Vec::new();
        let network = network(sensors, place, &mut lacks);
        let folder = Folder::new()?;
        let clocks = Clocks::build(&folder.0);
        lacks.push(match &clocks {
            Ok(_) => "clocks are stepped for our programs only, by a library between them and the \
                      system; the kernel's clock, which gives files their times, stays"
                .to_owned(),
            Err(error) => format!("no clock is stepped: {error}"),
        });
        let possible = Possible {
            links: network.slowness().is_some(),
            disks: network.slowness().is_some(),
            clocks: clocks.is_ok(),
        };
        let certificates = Authority::new("chaos")?;
        let programs = binaries::built()?;
        let websocket = ports::free(1);
        let client = Client {
            network: Arc::clone(&network),
            client: ZeekClient::installed()?,
            port: websocket,
        };
        let mut cluster = Self {
            client,
            sensors: Vec::new(),
            hosts: Vec::new(),
            lacks,
            possible,
            network,
            folder,
            _certificates: certificates,
        };
        cluster.boot(sensors, &programs, clocks.ok().as_ref(), logs)?;
        Ok(cluster)
    }

    fn boot(
        &mut self,
        sensors: u8,
        programs: &Binaries,
        clocks: Option<&Clocks>,
        logs: &Path,
    ) -> io::Result<()> {
        let (port, websocket) = (ports::free(1), self.client.port);
        let controller = self.network.address(HostId::CONTROLLER);
        let identity = self._certificates.issue("zeek")?;
        let certificates = [
            ("cafile", self._certificates.cafile()),
            ("certificate", identity.certificate),
            ("keyfile", identity.keyfile),
        ];
        let setting =
            |(name, path): (&str, PathBuf)| format!("Broker::ssl_{name}={}", path.display());
        let recipe = Recipe {
            programs,
            certificates: certificates.map(setting).to_vec(),
            controller: format!("[$address=\"{controller}\", $bound_port={port}/tcp]"),
            env: [
                ("ZEEK_CONTROLLER_NAME", "controller".to_owned()),
                ("ZEEK_CONTROLLER_PORT", format!("{port}/tcp")),
                ("ZEEK_CONTROLLER_WEBSOCKET_PORT", format!("{websocket}/tcp")),
            ],
        };
        for id in (0..=sensors).map(HostId) {
            let name = id.name();
            let home = self.folder.0.join(&name);
            let state = home.join("state");
            fs::create_dir_all(&state)?;
            let seen = self.network.disk(id, &state)?;
            let mut host = Host::new(id, format!("chaos-{}-{name}", own_id()), seen.clone());
            host.disk = self.possible.disks.then_some(seen);
            host.clock = clocks.map(|it| it.clock(&home.join("clock"))).transpose()?;
            let started = match id {
                HostId::CONTROLLER => vec![("controller", recipe.of_controller())],
                _ => self.sensor(&recipe, id),
            };
            for (program, mut command) in started {
                command.env(MARKER, &host.mark).current_dir(&home);
                command.envs(recipe.env.iter().map(|(name, value)| (name, value)));
                command.env("ZEEK_MANAGEMENT_STATE_DIR", &state);
                command.env("ZEEK_MANAGEMENT_SPOOL_DIR", &state);
                if let Some(clock) = &host.clock {
                    command.envs(clock.env());
                }
                let inside = self.network.inside(id, &ends_with_us(&command));
                let log = logs.join(format!("{name}-{program}.log"));
                let name = format!("{name}/{program}");
                host.programs.push(Program::start(name, inside, log)?);
            }
            self.hosts.push(host);
        }
        Ok(())
    }

    /// Sensors differ: every second one has agent and supervisor as programs of their own and adopts
    /// nodes, and the agent of every third one is dialed by the controller.
    fn sensor(&mut self, recipe: &Recipe<'_>, id: HostId) -> Vec<(&'static str, Command)> {
        let first_port = ports::free(4);
        let port = ports::free(1);
        let is_dialed = id.0.is_multiple_of(3);
        self.sensors.push(Sensor {
            name: id.name(),
            dialed: is_dialed.then(|| format!("{}:{port}", self.network.address(id))),
            first_port,
        });
        let mut settings = recipe.certificates.clone();
        settings.push(format!("Management::Agent::name={}", id.name()));
        settings.push(format!("Management::Agent::listen_port={port}/tcp"));
        settings.push(format!("Broker::default_port={}/tcp", ports::free(1)));
        let controller = match is_dialed {
            true => "[$address=\"0.0.0.0\", $bound_port=0/unknown]",
            false => recipe.controller.as_str(),
        };
        settings.push(format!("Management::Agent::controller={controller}"));
        let program = |subcommand: &str| {
            let mut command = Command::new(&recipe.programs.mgmt);
            command.arg(subcommand);
            if subcommand != "agent" {
                command.arg("--zeek").arg(&recipe.programs.standin);
            }
            command
        };
        if !id.0.is_multiple_of(2) {
            let mut run = program("run");
            run.arg("policy/frameworks/management/agent").args(settings);
            return vec![("run", run)];
        }
        let (mut supervisor, mut agent) = (program("supervisor"), program("agent"));
        supervisor
            .args(&settings)
            .arg("SupervisorControl::enable_listen=T");
        agent.arg("--adopt-nodes").args(settings);
        vec![("supervisor", supervisor), ("agent", agent)]
    }

    /// Where files for everybody are.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.0.clone()
    }

    fn host(&mut self, id: HostId) -> io::Result<&mut Host> {
        let host = self.hosts.get_mut(usize::from(id.0));
        host.ok_or_else(|| io::Error::other(format!("no host {id:?}")))
    }

    /// Something goes wrong. Says whether there was anything that it could befall.
    ///
    /// # Errors
    /// If the system or its tools refuse.
    pub(crate) fn begin(&mut self, planned: &Planned, now: Instant) -> io::Result<bool> {
        let (id, until) = (planned.host, now + planned.lasts);
        let which = usize::try_from(planned.which & 0xffff).unwrap_or_default();
        match planned.fault {
            Fault::Unplugged | Fault::Flapping => self.network.unplug(id)?,
            Fault::Deaf | Fault::Mute => {
                if let Some(way) = planned.fault.lost() {
                    self.network.lose(id, way)?;
                }
            }
            Fault::Slow => self.network.slow(id)?,
            Fault::Killed(kind) => return self.host(id)?.kill(kind, which, until),
            Fault::Stopped(kind) => return Ok(self.host(id)?.freeze_one(kind, which)),
            Fault::Frozen => self.host(id)?.freeze_all(),
            Fault::PowerCut => {
                self.network.unplug(id)?;
                self.host(id)?.power_off(until)?;
                self.network.forget_connections(id)?;
            }
            Fault::DiskFull => self.host(id)?.fill_disk()?,
            Fault::ClockStepped => {
                if let Some(clock) = &mut self.host(id)?.clock {
                    clock.step(planned.step_secs())?;
                }
            }
        }
        Ok(true)
    }

    /// A link flaps.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn flap(&mut self, id: HostId, is_up: bool) -> io::Result<()> {
        match is_up {
            true => self.network.plug_in(id),
            false => self.network.unplug(id),
        }
    }

    /// The fault is over.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn end(&mut self, planned: &Planned) -> io::Result<()> {
        let id = planned.host;
        match planned.fault {
            Fault::Unplugged | Fault::Flapping | Fault::PowerCut => self.network.plug_in(id),
            Fault::Deaf | Fault::Mute | Fault::Slow => self.network.mend(id),
            Fault::Stopped(_) | Fault::Frozen => {
                self.host(id)?.thaw();
                Ok(())
            }
            Fault::DiskFull => self.host(id)?.free_disk(),
            // What was killed comes back by itself, and a clock stays where it is.
            Fault::Killed(_) | Fault::ClockStepped => Ok(()),
        }
    }

    /// Starts what was killed, if it is time; tells what has ended by itself.
    ///
    /// # Errors
    /// If something cannot be started.
    pub(crate) fn tend(&mut self, now: Instant) -> io::Result<Vec<String>> {
        let programs = self.hosts.iter_mut().flat_map(|host| &mut host.programs);
        let tended = programs.filter_map(|program| program.tend(now).transpose());
        tended.collect()
    }

    /// Whether the controller takes clients.
    pub(crate) fn controller_listens(&self) -> bool {
        let host = self.hosts.first();
        let pid = host.and_then(|host| host.programs.first()?.pid());
        pid.is_some_and(|pid| listens(pid, self.client.port))
    }

    /// Ends everything in order; tells what was wrong with that.
    ///
    /// # Errors
    /// If the programs cannot be asked.
    pub(crate) fn stop(&mut self) -> io::Result<Vec<String>> {
        let mut wrong = Vec::new();
        for host in &mut self.hosts {
            // An agent goes before its supervisor, as it came after.
            for program in host.programs.iter_mut().rev() {
                wrong.extend(program.stop()?);
            }
            let left = harness::wait_until(std::time::Duration::from_secs(30), || {
                host.running().is_empty().then_some(())
            });
            if left.is_none() {
                wrong.push(format!(
                    "{}: left behind: {:?}",
                    host.id.name(),
                    host.running()
                ));
            }
        }
        Ok(wrong)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for host in &mut self.hosts {
            // A system that refuses to kill what is ours refuses to be tidied up.
            let _ = host.power_off(Instant::now());
        }
    }
}

impl Folder {
    /// Nobody else's: programs are made to load a library from it.
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("zeek-mgmt-chaos-{}", own_id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of a temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Recipe<'_> {
    fn of_controller(&self) -> Command {
        let mut command = Command::new(&self.programs.mgmt);
        command.arg("controller").args(&self.certificates);
        command.arg("Management::Controller::auto_assign_metrics_ports=F");
        command
    }
}

fn network(sensors: u8, place: Place, lacks: &mut Vec<String>) -> Arc<Network> {
    let laid = match place {
        Place::Namespaces => Network::lay(sensors.saturating_add(1)),
        Place::Loopback => Err(io::Error::other("not wanted")),
    };
    let network = laid.unwrap_or_else(|error| {
        lacks.push(format!(
            "no namespaces ({error}): hosts are ports of 127.0.0.1, and neither links nor disks \
             fail"
        ));
        Network::Loopback
    });
    if network.slowness() == Some(Slowness::NarrowOnly) {
        lacks.push(
            "this kernel has no netem: a slow link has 96 kbit/s and a queue of 3 s, but no delay, \
             jitter or loss of its own"
                .to_owned(),
        );
    }
    Arc::new(network)
}

/// The same program, killed if we end, however that happens.
fn ends_with_us(command: &Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "KILL", "--"]);
    wrapped.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

/// As the process's kernel tables have it.
fn listens(pid: i32, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let local = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields
            .next()
            .is_some_and(|address| address.ends_with(&local))
            && fields.nth(1) == Some(LISTEN)
    })
}

fn own_id() -> u32 {
    std::process::id()
}
