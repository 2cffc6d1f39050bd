//! The processes of a cluster, with the command lines that a person would type.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::pki::Pki;
use crate::process::{Daemon, Error, free_ports, http_status};

const START_SECONDS: u64 = 60;

/// Where a cluster lives and what it is called.
#[derive(Clone, Debug)]
pub struct Layout {
    /// State, logs, certificates and kubeconfig.
    pub folder: PathBuf,
    /// Where the daemons' programs are.
    pub programs: PathBuf,
    pub node: String,
    /// Where other members reach this machine.
    pub address: IpAddr,
    pub etcd_port: u16,
    pub etcd_peer_port: u16,
    pub apiserver_port: u16,
    pub kubelet_port: u16,
    /// Health listeners of controller-manager, scheduler and kube-proxy.
    pub health_ports: [u16; 3],
    pub service_range: String,
    pub service_ip: String,
    pub pod_range: String,
    pub bridge: String,
    /// The engine's socket, where it is not the machine's own.
    pub docker_socket: Option<PathBuf>,
    /// nftables table of this cluster's proxy.
    pub proxy_table: String,
}

impl Layout {
    /// The cluster of `make up`: the ports that everybody knows.
    pub fn local(folder: &Path, programs: &Path, address: IpAddr, node: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            programs: programs.to_owned(),
            node: node.to_owned(),
            address,
            etcd_port: 2379,
            etcd_peer_port: 2380,
            apiserver_port: 6443,
            kubelet_port: 10250,
            health_ports: [10252, 10251, 10249],
            service_range: "10.254.0.0/16".into(),
            service_ip: "10.254.0.1".into(),
            pod_range: "10.244.0.0/16".into(),
            bridge: "kbr0".into(),
            docker_socket: None,
            proxy_table: "kube-proxy".into(),
        }
    }

    /// A cluster beside others: free ports, ranges and names of its own. `number` tells clusters of one run apart.
    pub fn beside(folder: &Path, programs: &Path, number: u8) -> Result<Self, Error> {
        let ports = free_ports::<7>().map_err(|e| Error::Other(format!("no free ports: {e}")))?;
        let [etcd_port, etcd_peer_port, apiserver_port, kubelet_port, a, b, c] = ports;
        let local = Self::local(folder, programs, own_address(), &format!("node-{number}"));
        Ok(Self {
            etcd_port,
            etcd_peer_port,
            apiserver_port,
            kubelet_port,
            health_ports: [a, b, c],
            service_range: format!("10.{}.0.0/16", 60 + u32::from(number)),
            service_ip: format!("10.{}.0.1", 60 + u32::from(number)),
            pod_range: format!("10.{}.0.0/16", 130 + u32::from(number)),
            bridge: format!("kbr{number}"),
            proxy_table: format!("kube-proxy-{number}"),
            ..local
        })
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    pub fn server(&self) -> String {
        format!("https://{}:{}", self.address, self.apiserver_port)
    }

    pub fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd_port)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join("log").join(format!("{name}.log"))
    }
}

/// A cluster whose daemons run. Each part can be killed and started again alone.
pub struct Cluster {
    pub layout: Layout,
    pub pki: Pki,
}

/// The daemons, in the order in which people start them.
pub const DAEMONS: [&str; 6] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"];

impl Cluster {
    /// Makes folders, certificates and kubeconfig files; starts nothing.
    pub fn prepare(layout: Layout) -> Result<Self, Error> {
        for folder in ["log", "etcd", "kubeconfigs", "pids"] {
            let path = layout.folder.join(folder);
            std::fs::create_dir_all(&path).map_err(|e| Error::file(&path, e))?;
        }
        let pki = Pki::ensure(&layout.folder.join("pki"), &layout.node, &[layout.address], &layout.service_ip)?;
        pki.kubeconfig("admin", &layout.server(), &layout.kubeconfig())?;
        for who in ["kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"] {
            let path = layout.folder.join("kubeconfigs").join(who);
            pki.kubeconfig(who, &layout.server(), &path)?;
        }
        Ok(Self { layout, pki })
    }

    /// Starts one of [`DAEMONS`] and waits until it is ready. Of the node's daemons readiness is the node's.
    pub fn start(&self, name: &str) -> Result<Daemon, Error> {
        let layout = &self.layout;
        let mut daemon = self.spawn(name)?;
        let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let healthy = |port: u16| move || http_status(local(port), "/healthz") == Some(200);
        match name {
            "etcd" => daemon.wait(START_SECONDS, || http_status(local(layout.etcd_port), "/health") == Some(200))?,
            "kube-apiserver" => self.wait_for_apiserver(&mut daemon)?,
            "kube-controller-manager" => daemon.wait(START_SECONDS, healthy(layout.health_ports[0]))?,
            "kube-scheduler" => daemon.wait(START_SECONDS, healthy(layout.health_ports[1]))?,
            "kube-proxy" => daemon.wait(START_SECONDS, healthy(layout.health_ports[2]))?,
            _ => {
                let kubelet = SocketAddr::new(layout.address, layout.kubelet_port);
                daemon.wait(START_SECONDS, || crate::process::accepts(kubelet))?;
            }
        }
        Ok(daemon)
    }

    /// Starts one of [`DAEMONS`] without waiting for it.
    pub fn spawn(&self, name: &str) -> Result<Daemon, Error> {
        let program = match name {
            "etcd" => PathBuf::from("etcd"),
            name => self.layout.programs.join(name),
        };
        Daemon::start(name, &program, &self.arguments(name), &self.layout.log(name))
    }

    /// Waits until `/readyz` says ok, after a start or a restart.
    pub fn wait_for_apiserver(&self, daemon: &mut Daemon) -> Result<(), Error> {
        let address = SocketAddr::new(self.layout.address, self.layout.apiserver_port);
        let tls = self.tls()?;
        daemon.wait(START_SECONDS, || https_status(&tls, address, "/readyz") == Some(200))
    }

    fn tls(&self) -> Result<Arc<rustls::ClientConfig>, Error> {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let path = self.pki.path("ca.crt");
        let authority = CertificateDer::from_pem_file(&path).map_err(Error::certificate)?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority).map_err(Error::certificate)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.map_err(Error::certificate)?.with_root_certificates(roots).with_no_client_auth();
        Ok(Arc::new(config))
    }

    /// The command line of a daemon, without the program's name.
    pub fn arguments(&self, name: &str) -> Vec<String> {
        let layout = &self.layout;
        let pki = |file: &str| self.pki.path(file).display().to_string();
        let path =
            |parts: &[&str]| parts.iter().fold(layout.folder.clone(), |p, part| p.join(part)).display().to_string();
        let kubeconfig = format!("--kubeconfig={}", path(&["kubeconfigs", name]));
        match name {
            "etcd" => {
                let (client, peer) = (layout.etcd_url(), format!("http://127.0.0.1:{}", layout.etcd_peer_port));
                vec![
                    format!("--data-dir={}", path(&["etcd"])),
                    format!("--listen-client-urls={client}"),
                    format!("--advertise-client-urls={client}"),
                    format!("--listen-peer-urls={peer}"),
                    format!("--initial-advertise-peer-urls={peer}"),
                    format!("--initial-cluster=default={peer}"),
                    "--log-level=warn".into(),
                ]
            }
            "kube-apiserver" => vec![
                format!("--bind-address={}", if layout.address.is_loopback() { "127.0.0.1" } else { "0.0.0.0" }),
                format!("--advertise-address={}", layout.address),
                format!("--secure-port={}", layout.apiserver_port),
                format!("--etcd-servers={}", layout.etcd_url()),
                format!("--tls-cert-file={}", pki("apiserver.crt")),
                format!("--tls-private-key-file={}", pki("apiserver.key")),
                format!("--client-ca-file={}", pki("ca.crt")),
                format!("--kubelet-client-certificate={}", pki("apiserver-kubelet-client.crt")),
                format!("--kubelet-client-key={}", pki("apiserver-kubelet-client.key")),
                format!("--kubelet-certificate-authority={}", pki("ca.crt")),
                format!("--service-cluster-ip-range={}", layout.service_range),
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
                format!("--service-account-signing-key-file={}", pki("service-account.key")),
                "--enable-bootstrap-token-auth=true".into(),
                "--authorization-mode=Node,RBAC".into(),
                "--enable-admission-plugins=NodeRestriction".into(),
                // Nothing makes default accounts and mounts tokens yet, and nothing takes the finalizers of claims away.
                "--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection".into(),
            ],
            "kube-controller-manager" => vec![
                kubeconfig,
                format!("--cluster-cidr={}", layout.pod_range),
                "--allocate-node-cidrs=true".into(),
                format!("--port={}", layout.health_ports[0]),
            ],
            "kube-scheduler" => vec![kubeconfig, format!("--port={}", layout.health_ports[1])],
            "kubelet" => [
                kubeconfig,
                format!("--hostname-override={}", layout.node),
                format!("--node-ip={}", layout.address),
                format!("--address={}", layout.address),
                format!("--port={}", layout.kubelet_port),
                format!("--tls-cert-file={}", pki("kubelet.crt")),
                format!("--tls-private-key-file={}", pki("kubelet.key")),
                format!("--client-ca-file={}", pki("ca.crt")),
                format!("--root-dir={}", path(&["kubelet"])),
                format!("--network-bridge={}", layout.bridge),
                "--healthz-port=0".into(),
                // The disk of the machine that the tests run on may be as full as it likes.
                "--eviction-hard=".into(),
            ]
            .into_iter()
            .chain(layout.docker_socket.iter().map(|socket| format!("--docker-endpoint=unix://{}", socket.display())))
            .collect(),
            _ => vec![
                kubeconfig,
                format!("--hostname-override={}", layout.node),
                format!("--cluster-cidr={}", layout.pod_range),
                format!("--table={}", layout.proxy_table),
                format!("--healthz-port={}", layout.health_ports[2]),
            ],
        }
    }
}

/// The address of the default route, so that other hosts reach the cluster; loopback where there is none.
pub fn own_address() -> IpAddr {
    let own = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        // Nothing is sent.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
    };
    own().unwrap_or(Ipv4Addr::LOCALHOST.into())
}

/// What `--cleanup` of kube-proxy and kubelet has to know.
pub fn cleanup_arguments(layout: &Layout, name: &str) -> Vec<String> {
    match name {
        "kube-proxy" => vec![format!("--table={}", layout.proxy_table)],
        _ => vec![
            format!("--root-dir={}", layout.folder.join("kubelet").display()),
            format!("--network-bridge={}", layout.bridge),
            format!("--hostname-override={}", layout.node),
        ],
    }
}

/// The status of an HTTPS GET; `None` when nobody answers.
fn https_status(tls: &Arc<rustls::ClientConfig>, address: SocketAddr, path: &str) -> Option<u16> {
    let timeout = std::time::Duration::from_secs(2);
    let tcp = TcpStream::connect_timeout(&address, timeout).ok()?;
    tcp.set_read_timeout(Some(timeout)).ok()?;
    let connection =
        rustls::ClientConnection::new(tls.clone(), rustls::pki_types::ServerName::from(address.ip())).ok()?;
    let mut stream = rustls::StreamOwned::new(connection, tcp);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = [0; 32];
    stream.read_exact(&mut answer[..16]).ok()?;
    String::from_utf8_lossy(&answer[..16]).split(' ').nth(1)?.parse().ok()
}
