//! Two endpoints in one process, over loopback: events a second, and processor time for each.
//!
//! Every event is encoded for itself by one task, goes through both endpoints and the kernel, and
//! is handed as bytes to one subscriber; nothing is lost, which is checked. `benches/README.md`
//! says more.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark's inputs are its own, and it reads the clock"
)]

use std::fs;
use std::time::{Duration, Instant};

use broker_proto::io::handle::{Handle, Options, Overflow, Status, Subscription, spawn};
use broker_proto::zeek::Event;
use broker_proto::{Address, Data, Port, Protocol, Timespan, Timestamp, Topic};
use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use tokio::runtime::Runtime;

criterion_group!(benches, throughput);
criterion_main!(benches);

const TOPIC: Topic = Topic::from_static("/bench/events");

/// Between two looks at whether the peer keeps up.
const BURST: u64 = 256;

fn throughput(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let payloads = [("conn.log", conn_log()), ("table of 1000", table(1000))];
    for (wire, options) in [
        ("cleartext", Options::cleartext as fn() -> _),
        ("tls", Options::anonymous),
    ] {
        let mut group = c.benchmark_group(format!("loopback, {wire}"));
        group.sampling_mode(SamplingMode::Flat);
        group.sample_size(10);
        group.measurement_time(Duration::from_secs(5));
        for (name, value) in &payloads {
            let mut pair = runtime.block_on(Pair::new(options()));
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter_custom(|count| pair.exchange(&runtime, value, count));
            });
            println!("{name}, {wire}: {}", pair.cost());
            runtime.block_on(pair.end());
        }
        group.finish();
    }
}

struct Pair {
    publisher: Handle,
    receiver: Handle,
    events: Option<Subscription>,
    count: u64,
    processor: Duration,
}

impl Pair {
    async fn new(dialing: Options) -> Self {
        let mut options = Options::cleartext();
        options.overflow = Overflow::Wait;
        let receiver = spawn(options);
        let events = receiver.subscribe(TOPIC).await.unwrap();
        let addr = receiver.listen(&"127.0.0.1:0".parse().unwrap()).await;
        let publisher = spawn(dialing);
        let mut status = publisher.status().await.unwrap();
        publisher.peer(&addr.unwrap().into(), None).await.unwrap();
        let event = status.next().await;
        assert!(matches!(event, Some(Status::PeerUp { .. })), "{event:?}");
        Self {
            publisher,
            receiver,
            events: Some(events),
            count: 0,
            processor: Duration::ZERO,
        }
    }

    /// How long so many events take until the last one has arrived.
    fn exchange(&mut self, runtime: &Runtime, value: &Data, count: u64) -> Duration {
        let mut events = self.events.take().unwrap();
        let (publisher, value) = (self.publisher.clone(), value.clone());
        let (start, processor) = (Instant::now(), processor_time());
        let publishing = runtime.spawn(async move {
            for n in 0..count {
                publisher.publish(TOPIC, &value).await.unwrap();
                if n % BURST == 0 {
                    publisher.ready().await.unwrap();
                }
            }
        });
        let reading = runtime.spawn(async move {
            for _ in 0..count {
                events.next().await.unwrap();
            }
            events
        });
        let events = runtime.block_on(reading).unwrap();
        let taken = start.elapsed();
        runtime.block_on(publishing).unwrap();
        assert_eq!(events.lost(), 0);
        self.events = Some(events);
        self.processor += processor_time() - processor;
        self.count += count;
        taken
    }

    /// What an event costs whatever else the machine does at the time.
    fn cost(&self) -> String {
        let each = self.processor.as_secs_f64() * 1e6 / self.count as f64;
        format!("{each:.2} µs of processor time an event")
    }

    async fn end(self) {
        self.publisher.shutdown().await;
        self.receiver.shutdown().await;
    }
}

/// What this process has used of all cores, in user and kernel mode, to 10 ms.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    // utime and stime, in hundredths of a second (proc_pid_stat(5)).
    let ticks = fields.split(' ').skip(11).take(2);
    Duration::from_millis(ticks.map(|n| n.parse::<u64>().unwrap() * 10).sum())
}

/// An event with the fields of a line of conn.log.
fn conn_log() -> Data {
    let address = |text: &str| Data::Address(text.parse::<Address>().unwrap());
    let port = |number, protocol| Data::Port(Port { number, protocol });
    let fields = vec![
        Data::Timestamp(Timestamp(1_700_000_000_123_456_789)),
        Data::string("CHhAvVGS1DHFjwGM9"),
        address("141.142.228.5"),
        port(59_856, Protocol::Tcp),
        address("2001:db8::192:150:187:43"),
        port(80, Protocol::Tcp),
        Data::enum_value("tcp"),
        Data::string("http"),
        Data::Timespan(Timespan(211_484_000)),
        Data::Count(136),
        Data::Count(5007),
        Data::string("SF"),
        Data::Boolean(false),
        Data::Boolean(true),
        Data::Count(0),
        Data::string("ShADadFf"),
        Data::Count(7),
        Data::Count(512),
        Data::Count(7),
        Data::Real(0.25),
        Data::None,
    ];
    Event::new("Bench::conn", vec![Data::Vector(fields)]).into_data()
}

/// An event with a table from texts to numbers.
fn table(entries: u64) -> Data {
    let entry = |n| {
        (
            Data::string(format!("host-{n:05}.example.com")),
            Data::Count(n),
        )
    };
    let entries = (0..entries).map(entry).collect();
    Event::new("Bench::table", vec![Data::Table(entries)]).into_data()
}
