//! Other people's servers, for comparison: installed by package name under `target/peers`, run on loopback with
//! auditing and telemetry off. One that cannot be had is an error that names what is missing; its rows are left out.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{self, Server};
use crate::{Fallible, text};

/// How long a peer may take until it answers.
const START: Duration = Duration::from_secs(120);
/// The npm package that brings the Cerbos binary.
const CERBOS: &str = "@cerbos/cerbos-linux-x64";

/// Where peers are installed: beside the build.
fn folder() -> Fallible<PathBuf> {
    let own = std::env::current_exe().map_err(text)?;
    let target = own.ancestors().nth(2).ok_or("no target directory")?;
    Ok(target.join("peers"))
}

/// Cerbos with one principal policy an agent, as many as there are agents; agent `agent-N` may `refund` small amounts.
pub fn cerbos(agents: usize, folder: &Path) -> Fallible<Server> {
    let program = cerbos_program()?;
    let policies = folder.join("cerbos-policies");
    fs::create_dir_all(&policies).map_err(text)?;
    for number in 0..agents {
        fs::write(policies.join(format!("agent_{number}.yaml")), cerbos_policy(number)).map_err(text)?;
    }
    let (http, grpc) = (process::free_address()?, process::free_address()?);
    let configuration = format!(
        "server: {{httpListenAddr: \"{http}\", grpcListenAddr: \"{grpc}\"}}\ntelemetry: {{disabled: true}}\n\
         audit: {{enabled: false}}\nstorage: {{driver: disk, disk: {{directory: {}, watchForChanges: false}}}}\n",
        policies.display()
    );
    let file = folder.join("cerbos.yaml");
    fs::write(&file, configuration).map_err(text)?;
    let mut command = Command::new(program);
    command.args(["server", "--log-level=error", "--config"]).arg(file).stdout(Stdio::null()).stderr(Stdio::null());
    Server::start(&mut command, http, START, process::accepts)
}

fn cerbos_program() -> Fallible<PathBuf> {
    let folder = folder()?.join("cerbos");
    let program = folder.join("node_modules").join(CERBOS).join("cerbos-linux-x64");
    if !program.exists() {
        eprintln!("installing {CERBOS}");
        fs::create_dir_all(&folder).map_err(text)?;
        let mut npm = Command::new("npm");
        run(npm.args(["install", "--no-save", "--loglevel=error", "--prefix"]).arg(&folder).arg(CERBOS))?;
    }
    Ok(program)
}

fn cerbos_policy(number: usize) -> String {
    format!(
        r#"apiVersion: api.cerbos.dev/v1
principalPolicy:
  principal: agent-{number}
  version: default
  rules:
    - resource: tool
      actions:
        - action: billing/refund
          effect: EFFECT_ALLOW
          condition:
            match:
              all:
                of:
                  - expr: request.resource.attr.amount <= 200
                  - expr: request.resource.attr.purpose == "support"
                  - expr: request.principal.attr.session_age < 3600
                  - expr: request.principal.attr.human != ""
                  - expr: request.resource.id == "billing/refund"
"#
    )
}

/// The npm package of the OpenID Connect provider.
const OIDC: &str = "oidc-provider";
/// The secret of its one client.
pub const OIDC_SECRET: &str = "shared-secret-of-the-benchmark-for-the-peer";
/// It issues ES256 JWTs for `urn:bench:jwt`, and opaque tokens without a resource.
const OIDC_SERVER: &str = r#"
import Provider from 'oidc-provider';
import { generateKeyPairSync } from 'node:crypto';
const [port, secret] = process.argv.slice(2);
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: [{ ...key, alg: 'ES256', use: 'sig', kid: 'one' }] },
  clients: [{
    client_id: 'agent', client_secret: secret, grant_types: ['client_credentials'], redirect_uris: [],
    response_types: [], token_endpoint_auth_method: 'client_secret_post', id_token_signed_response_alg: 'ES256',
  }],
  features: {
    devInteractions: { enabled: false }, clientCredentials: { enabled: true }, introspection: { enabled: true },
    resourceIndicators: {
      enabled: true, defaultResource: () => undefined, useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: '', accessTokenFormat: 'jwt', accessTokenTTL: 300, jwt: { sign: { alg: 'ES256' } } }),
    },
  },
});
provider.listen(Number(port), '127.0.0.1');
"#;

/// oidc-provider in one process, with everything in memory.
pub fn oidc_provider() -> Fallible<Server> {
    let folder = folder()?.join("oidc");
    if !folder.join("node_modules").join(OIDC).exists() {
        eprintln!("installing {OIDC}");
        fs::create_dir_all(&folder).map_err(text)?;
        let mut npm = Command::new("npm");
        run(npm.args(["install", "--no-save", "--loglevel=error", "--prefix"]).arg(&folder).arg(OIDC))?;
    }
    let (script, address) = (folder.join("server.mjs"), process::free_address()?);
    fs::write(&script, OIDC_SERVER).map_err(text)?;
    let mut command = Command::new("node");
    command.arg(&script).arg(address.port().to_string()).arg(OIDC_SECRET).env("NODE_ENV", "production");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Server::start(&mut command, address, START, process::accepts)
}

/// nginx as a plain reverse proxy with kept-alive connections to the upstream, without an access log.
pub fn nginx(upstream: SocketAddr, folder: &Path) -> Fallible<Server> {
    if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
        eprintln!("installing nginx-light");
        run(Command::new("apt-get").args(["install", "--yes", "--no-install-recommends", "-qq", "nginx-light"]))?;
    }
    let address = process::free_address()?;
    let place = folder.display();
    let configuration = format!(
        "daemon off; master_process off; worker_processes 1; pid {place}/nginx.pid; error_log {place}/nginx.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {place}; proxy_temp_path {place};\n\
         fastcgi_temp_path {place}; uwsgi_temp_path {place}; scgi_temp_path {place};\n\
         upstream echo {{ server {upstream}; keepalive 64; keepalive_requests 1000000; }}\n\
         server {{ listen {address}; location / {{ proxy_pass http://echo; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; }} }} }}\n"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration).map_err(text)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
    Server::start(&mut command, address, START, process::accepts)
}

fn run(command: &mut Command) -> Fallible {
    let done = command.stdout(Stdio::null()).output().map_err(|why| format!("cannot run {command:?}: {why}"))?;
    let said = || String::from_utf8_lossy(&done.stderr).trim().to_owned();
    if done.status.success() { Ok(()) } else { Err(format!("{command:?} failed: {}", said())) }
}
