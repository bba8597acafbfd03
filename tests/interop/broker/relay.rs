//! A connection that can be cut in the middle, as cables are.

use broker_proto::peering::PeerAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Takes connections and makes one to `to` for each.
pub(super) struct Relay {
    /// Where it listens.
    pub(super) addr: PeerAddr,
    cut: mpsc::Sender<()>,
}

impl Relay {
    pub(super) async fn start(to: &PeerAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().into();
        let (cut, mut cuts) = mpsc::channel(1);
        let to = (to.host.clone(), to.port);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let Ok(mut far) = TcpStream::connect(&to).await else {
                    continue;
                };
                tokio::select! {
                    // Whoever hangs up first; the other is hung up on then.
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    wanted = cuts.recv() => if wanted.is_none() {
                        return;
                    }
                }
            }
        });
        Self { addr, cut }
    }

    /// Ends the connection there is, without a word to either side.
    pub(super) async fn cut(&self) {
        self.cut.send(()).await.unwrap();
    }
}
