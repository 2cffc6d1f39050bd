//! `kubelet`: reads the flags, checks and binds everything, and then starts the parts.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use client::{Change as ApiChange, Client, EventRecorder, Reflector};
use daemon::tls::{ClientAuth, HTTP2, KeyPair, Peer, ServerTls, Source, incoming};
use daemon::{Health, Supervisor, fail, flags, logging};
use k8s_openapi::api::core::v1::{Node, Pod};
use kubelet::api_cluster::{ApiCluster, services};
use kubelet::cleanup::clean_up;
use kubelet::images::Images;
use kubelet::node::machine::machine;
use kubelet::node::status::{Identity, labels};
use kubelet::node::{NodeAgent, heartbeat, keep_network};
use kubelet::options::Flags;
use kubelet::pods::{Change, Pods};
use kubelet::runtime::Runtime;
use kubelet::runtime::docker::Docker;
use kubelet::server::Server;
use kubelet::settings::{Settings, Shared};
use rpc::kubelet::kubelet_server::KubeletServer;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tonic::{Request, Status};

fn main() -> ExitCode {
    let flags: Flags = flags::parse();
    logging::init(flags.common.verbosity);
    let runtime = match daemon::runtime(2) {
        Ok(runtime) => runtime,
        Err(error) => return fail(format_args!("can't start: {error}")),
    };
    let code = runtime.block_on(async {
        if flags.cleanup {
            return match clean(&flags).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(error),
            };
        }
        match start(&flags).await {
            Ok(supervisor) => supervisor.run().await,
            Err(error) => fail(error),
        }
    });
    // A blocked file system call must not hold up the end.
    runtime.shutdown_background();
    code
}

/// For those who take the node out of the cluster: no kubelet may run.
async fn clean(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let (root, bridge) = (flags.root_dir()?, flags.bridge()?);
    let docker = Docker::new(flags.docker_endpoint()?, root.to_string_lossy());
    Ok(clean_up(&docker, &root, &bridge).await?)
}

async fn start(flags: &Flags) -> Result<Supervisor, Box<dyn Error>> {
    let name = flags.node_name()?;
    let address = flags.node_address()?.to_string();
    let (own_labels, pod_cidr, bridge) = (flags.labels()?, flags.pod_cidr()?, flags.bridge()?);
    let docker = flags.docker_endpoint()?;
    let source = |flag: &'static str, path| Flags::required(flag, path).map(|path| Source::file(flag, path));
    let pair = KeyPair::new(
        source("tls-cert-file", flags.tls_cert_file.as_ref())?,
        source("tls-private-key-file", flags.tls_private_key_file.as_ref())?,
    );
    let clients = ClientAuth::Required(source("client-ca-file", flags.client_ca_file.as_ref())?);
    let tls = ServerTls::new(pair, clients, HTTP2)?;
    let config = flags.client.load()?;
    let root = flags.root_dir()?;
    let listener = TcpListener::from_std(flags.listen().bind()?)?;
    let mut health = Health::bind(flags.health())?;

    let mut supervisor = Supervisor::new();
    let token = supervisor.token();
    let client = Client::new(&config);
    let runtime: Arc<dyn Runtime> = Arc::new(Docker::new(docker, root.to_string_lossy()));
    let machine = machine(&root);
    let (capacity, allocatable) = machine.resources(flags.max_pods, &flags.eviction_hard);
    let (runtime_down_tx, runtime_down) = watch::channel(Some("not asked yet".to_owned()));
    let (no_network_tx, no_network) = watch::channel(Some("not made yet".to_owned()));

    let (recorder, recording) = EventRecorder::new(&client, "kubelet", Some(&name));
    let services = services(&client);
    let service_store = services.store();
    let pods = Reflector::<Pod>::new(&client).fields(format!("spec.nodeName={name}"));
    let pod_store = pods.store();
    let own_node = Reflector::<Node>::new(&client).fields(format!("metadata.name={name}"));
    let (cidr, registered) = watch_node(&own_node, pod_cidr);

    let settings = Settings {
        node_name: name.clone(),
        node_address: address.clone(),
        root: root.clone(),
        pause_image: flags.pod_infra_container_image.clone(),
        network: bridge.clone(),
        cluster_dns: flags.cluster_dns.iter().map(ToString::to_string).collect(),
        cluster_domain: flags.cluster_domain.clone(),
        allocatable: allocatable.clone(),
    };
    let shared = Arc::new(Shared {
        settings,
        runtime: runtime.clone(),
        cluster: Arc::new(ApiCluster::new(client.clone(), service_store.clone(), recorder)),
        images: Images::new(runtime.clone()),
        no_network: no_network.clone(),
    });
    let (changes_tx, changes) = mpsc::unbounded_channel();
    pod_store.on_change(move |change| {
        // The receiver ends with the process.
        let _ = changes_tx.send(match change {
            ApiChange::Added(pod) | ApiChange::Modified { new: pod, .. } => Change::Is(pod.clone()),
            ApiChange::Deleted(pod) => Change::Gone(pod.clone()),
        });
    });
    let down = runtime_down.clone();
    health.ready_when("container-runtime", move || down.borrow().clone().map_or(Ok(()), Err));

    let synced = {
        let pod_store = pod_store.clone();
        async move {
            pod_store.wait_synced().await;
            service_store.wait_synced().await;
        }
    };
    let agent = NodeAgent {
        thresholds: flags.eviction_hard,
        client: client.clone(),
        runtime: runtime.clone(),
        identity: Identity {
            labels: labels(&name, &own_labels),
            name: name.clone(),
            address,
            port: flags.port,
            machine,
            capacity,
            allocatable,
        },
        root,
        runtime_down: runtime_down.clone(),
        no_network,
        registered: registered.clone(),
    };
    let users = flags.authorized_users.clone();
    let service = KubeletServer::with_interceptor(Server { runtime: runtime.clone() }, move |request: Request<()>| {
        authorize(request, &users)
    });
    let port = incoming(listener, tls, token.clone());
    let serve = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming_shutdown(port, token.clone().cancelled_owned());

    supervisor.spawn("events", recording.run(token.clone()));
    supervisor.spawn("services", services.run(token.clone()));
    supervisor.spawn("node", own_node.run(token.clone()));
    supervisor.spawn("pod list", pods.run(token.clone()));
    supervisor.spawn("pods", Pods::new(shared, runtime_down_tx).run(changes, synced, token.clone()));
    supervisor.spawn("network", keep_network(runtime, bridge, cidr, runtime_down, no_network_tx, token.clone()));
    supervisor.spawn("node status", agent.run(token.clone()));
    supervisor.spawn("heartbeat", heartbeat(client, name, registered, token.clone()));
    supervisor.spawn("server", serve);
    supervisor.spawn("health", health.serve(token));
    supervisor.ready();
    Ok(supervisor)
}

/// The pod range and the uid of this node, as the API has them. A range given by flag stands.
fn watch_node(
    node: &Reflector<Node>,
    given: Option<String>,
) -> (watch::Receiver<Option<String>>, watch::Receiver<Option<String>>) {
    let fixed = given.is_some();
    let (cidr_tx, cidr) = watch::channel(given);
    let (uid_tx, uid) = watch::channel(None);
    let set = |sender: &watch::Sender<Option<String>>, value: Option<String>| {
        sender.send_if_modified(|known| {
            let changed = *known != value;
            *known = value;
            changed
        })
    };
    node.store().on_change(move |change| {
        let now = change.after();
        set(&uid_tx, now.and_then(|node| node.metadata.uid.clone()));
        let range = now.and_then(|node| node.spec.as_ref()?.pod_cidr.clone()).filter(|range| !range.is_empty());
        // A node that is registered anew may get another range; until then the old one serves.
        if !fixed && range.is_some() {
            set(&cidr_tx, range);
        }
    });
    (cidr, uid)
}

/// kube-apiserver and administrators; other holders of a certificate of the same authority have no business here.
fn authorize(request: Request<()>, users: &[String]) -> Result<Request<()>, Status> {
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.identity.clone());
    let Some(identity) = peer else { return Err(Status::unauthenticated("a client certificate is needed")) };
    if users.contains(&identity.user) || identity.groups.iter().any(|group| group == "system:masters") {
        return Ok(request);
    }
    Err(Status::permission_denied(format!("user {} may not use the kubelet (--authorized-users)", identity.user)))
}
