//! The hosts' network: a switch with a cable to each host, which can be cut, narrowed, or lose
//! everything in one direction. Where the system gives us no namespaces, hosts are ports of
//! 127.0.0.1, and there is nothing to cut.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::namespace::{Namespace, Own};

/// Which host: 0 is the controller's, the others are sensors.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct HostId(pub(crate) u8);

impl HostId {
    pub(crate) const CONTROLLER: Self = Self(0);

    pub(crate) fn name(self) -> String {
        match self {
            Self::CONTROLLER => "controller".to_owned(),
            Self(sensor) => format!("sensor-{sensor}"),
        }
    }
}

/// Which frames are lost, as the host sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    In,
    Out,
}

/// What the switch and its cables are.
pub(crate) enum Network {
    /// Namespaces below that of the switch.
    Cables {
        /// Before the switch, for they cannot be entered without its users.
        hosts: Vec<Namespace>,
        switch: Namespace,
        slowness: Slowness,
    },
    /// One host after all.
    Loopback,
}

/// How a slow link is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Slowness {
    /// Delay, jitter, loss and little bandwidth.
    Netem,
    /// Only little bandwidth and a long queue: this kernel has no netem.
    NarrowOnly,
}

impl Slowness {
    fn discipline(self) -> &'static str {
        match self {
            Self::Netem => "netem delay 150ms 100ms loss 3% rate 1mbit",
            Self::NarrowOnly => "tbf rate 96kbit burst 4kb latency 3s",
        }
    }
}

/// Every frame is larger than this bucket.
const NOTHING_PASSES: &str = "tbf rate 8bit burst 10b limit 1";

impl Network {
    /// So many hosts on a switch.
    ///
    /// # Errors
    /// If the system has no such namespaces, or lacks the tools.
    pub(crate) fn lay(hosts: u8) -> io::Result<Self> {
        let switch = Namespace::new(Own::NetworkAndMounts)?;
        switch
            .run("ip link set lo up && ip link add switch type bridge && ip link set switch up")?;
        let slowness = match switch.run("tc qdisc add dev lo root netem delay 0ms") {
            Ok(()) => Slowness::Netem,
            Err(_) => Slowness::NarrowOnly,
        };
        let mut cabled = Vec::new();
        for host in (0..hosts).map(HostId) {
            let namespace = switch.sibling()?;
            let (port, pid, address) = (port(host), namespace.pid(), address(host));
            switch.run(&format!(
                "ip link add {port} type veth peer name cable netns {pid} && \
                 ip link set {port} master switch up"
            ))?;
            namespace.run(&format!(
                "ip link set lo up && ip address add {address}/24 dev cable && \
                 ip link set cable up"
            ))?;
            cabled.push(namespace);
        }
        Ok(Self::Cables {
            hosts: cabled,
            switch,
            slowness,
        })
    }

    /// Where other hosts find this one.
    pub(crate) fn address(&self, host: HostId) -> Ipv4Addr {
        match self {
            Self::Cables { .. } => address(host),
            Self::Loopback => Ipv4Addr::LOCALHOST,
        }
    }

    /// A program on a host.
    pub(crate) fn inside(&self, host: HostId, command: &Command) -> Command {
        if let Some(namespace) = self.host(host) {
            return namespace.inside(command);
        }
        let mut same = Command::new(command.get_program());
        same.args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            same.current_dir(directory);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => same.env(name, value),
                None => same.env_remove(name),
            };
        }
        same
    }

    /// Gives a host a small disk of its own at this path, and says where we find it.
    ///
    /// # Errors
    /// If it cannot be mounted.
    pub(crate) fn disk(&self, host: HostId, path: &Path) -> io::Result<PathBuf> {
        let Some(namespace) = self.host(host) else {
            return Ok(path.to_owned());
        };
        let place = path.display();
        namespace.run(&format!("mount -t tmpfs -o size=16m disk '{place}'"))?;
        Ok(namespace.seen_from_outside(path))
    }

    pub(crate) fn slowness(&self) -> Option<Slowness> {
        match self {
            Self::Cables { slowness, .. } => Some(*slowness),
            Self::Loopback => None,
        }
    }

    /// Unplugs a host: it sees that its link is down.
    ///
    /// # Errors
    /// If the tools fail, as for all of these.
    pub(crate) fn unplug(&self, host: HostId) -> io::Result<()> {
        self.on_switch(&format!("ip link set {} down", port(host)))
    }

    /// Plugs it in again.
    pub(crate) fn plug_in(&self, host: HostId) -> io::Result<()> {
        self.on_switch(&format!("ip link set {} up", port(host)))
    }

    /// Frames get lost in one direction, and nobody sees why.
    pub(crate) fn lose(&self, host: HostId, way: Way) -> io::Result<()> {
        self.shape(host, way, NOTHING_PASSES)
    }

    /// The link is slow in both directions.
    pub(crate) fn slow(&self, host: HostId) -> io::Result<()> {
        let discipline = self.slowness().map_or("", Slowness::discipline);
        self.shape(host, Way::In, discipline)?;
        self.shape(host, Way::Out, discipline)
    }

    /// The link is as it was.
    pub(crate) fn mend(&self, host: HostId) -> io::Result<()> {
        let port = port(host);
        let undo = |device: &str| {
            format!(
                "if tc qdisc show dev {device} | grep -qE 'netem|tbf'; \
                 then tc qdisc del dev {device} root; fi"
            )
        };
        self.on_switch(&undo(&port))?;
        self.on_host(host, &undo("cable"))
    }

    /// What a host's kernel knows of its connections is gone, and nobody is told, as if its power
    /// had been cut. `plugged` in it would tell.
    pub(crate) fn forget_connections(&self, host: HostId) -> io::Result<()> {
        self.on_host(host, "ss --kill --tcp --no-header state all >/dev/null")
    }

    fn shape(&self, host: HostId, way: Way, discipline: &str) -> io::Result<()> {
        let replace = |device: &str| format!("tc qdisc replace dev {device} root {discipline}");
        match way {
            Way::In => self.on_switch(&replace(&port(host))),
            Way::Out => self.on_host(host, &replace("cable")),
        }
    }

    fn host(&self, host: HostId) -> Option<&Namespace> {
        match self {
            Self::Cables { hosts, .. } => hosts.get(usize::from(host.0)),
            Self::Loopback => None,
        }
    }

    fn on_switch(&self, script: &str) -> io::Result<()> {
        match self {
            Self::Cables { switch, .. } => switch.run(script),
            Self::Loopback => Ok(()),
        }
    }

    fn on_host(&self, host: HostId, script: &str) -> io::Result<()> {
        self.host(host).map_or(Ok(()), |host| host.run(script))
    }
}

/// The name of the switch's end of a cable.
fn port(host: HostId) -> String {
    format!("port{}", host.0)
}

fn address(host: HostId) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, host.0.saturating_add(1))
}
