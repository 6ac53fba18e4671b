//! What each room is told of the configuration.

use std::collections::BTreeMap;

use chancery_authenticate::{DelegationLimits, Scoped, SessionLimits};
use chancery_gateway::{Inject, PinMode, ServerConfig};

use crate::{Config, Partner, Pin, Provider, Registration, Transport, Upstream, ssf};

/// The room that knows who is calling.
pub(crate) fn authenticate(config: &Config, url: &str, people: &str) -> chancery_authenticate::Config {
    let servers = config.servers.keys().map(|name| format!("{url}/mcp/{name}"));
    chancery_authenticate::Config {
        issuer: url.to_owned(),
        people_url: people.to_owned(),
        audiences: servers.chain([format!("{url}/access/v1"), ssf::resource(url)]).collect(),
        scoped: vec![Scoped { resource: ssf::resource(url), scopes: ssf::SCOPES }],
        token_lifetime: config.tokens.lifetime(),
        delegation: DelegationLimits { depth: config.delegation.depth },
        partners: config.delegation.partners.iter().map(partner).collect(),
        providers: config.delegation.providers.iter().map(provider).collect(),
        transactions: chancery_authenticate::Transactions {
            audience: config.delegation.transactions.clone(),
            scopes: config.delegation.transaction_scopes.clone(),
        },
        require_pushed: config.oauth.require_pushed_authorization_requests,
        registration: config.oauth.registration != Registration::Off,
        sessions: SessionLimits {
            maximum: config.tokens.session(),
            idle: config.tokens.idle(),
            ..SessionLimits::default()
        },
        ..chancery_authenticate::Config::default()
    }
}

fn partner(partner: &Partner) -> chancery_authenticate::Partner {
    chancery_authenticate::Partner {
        issuer: partner.issuer.clone(),
        client_id: partner.client_id.clone(),
        scopes: partner.scopes.clone(),
    }
}

fn provider(provider: &Provider) -> chancery_authenticate::Provider {
    chancery_authenticate::Provider {
        issuer: provider.issuer.clone(),
        jwks_uri: provider.jwks_uri.clone(),
        tenant: provider.tenant.clone(),
    }
}

/// The room that registers.
pub(crate) fn register(config: &Config, url: &str) -> chancery_register::Config {
    chancery_register::Config {
        issuer: url.to_owned(),
        registration: config.oauth.registration != Registration::Off,
        providers: config.delegation.providers.iter().map(|provider| provider.issuer.clone()).collect(),
        trust_domain: config.spiffe.as_ref().map(|spiffe| format!("spiffe://{}", spiffe.trust_domain)),
        fetch: config.fetching(),
        ..chancery_register::Config::default()
    }
}

/// Asking people.
pub(crate) fn approvals(config: &Config) -> chancery_oversee::approvals::Config {
    let crate::Approvals { waiting, hourly, decoys, .. } = config.approvals;
    chancery_oversee::approvals::Config { waiting, hourly, decoys }
}

/// The data path.
pub(crate) fn gateway(config: &Config, url: &str) -> chancery_gateway::Config {
    chancery_gateway::Config {
        public_url: url.to_owned(),
        servers: config.servers.iter().map(|(name, server)| (name.clone(), upstream(config, server))).collect(),
        limits: chancery_gateway::Limits::default(),
        timeouts: chancery_gateway::Timeouts {
            approval: std::time::Duration::from_secs(config.approvals.hold),
            ..chancery_gateway::Timeouts::default()
        },
    }
}

fn upstream(config: &Config, server: &Upstream) -> ServerConfig {
    ServerConfig {
        transport: match &server.transport {
            Transport::Http(url) => chancery_gateway::Transport::Http(url.clone()),
            Transport::Stdio(command) => chancery_gateway::Transport::Stdio(child(config, command)),
        },
        inject: server.inject.as_ref().map(|inject| Inject {
            name: inject.header.clone(),
            value: inject.value.clone(),
            secret: inject.secret.clone(),
        }),
        oauth: server.oauth.clone(),
        record_fields: config.record_fields.iter().chain(&server.record_fields).cloned().collect(),
        dry_run: server.dry_run.clone(),
        pin: match config.pin {
            Pin::FirstUse => PinMode::FirstUse,
            Pin::Manual => PinMode::Manual,
        },
    }
}

/// A child inherits nothing but the search path, and that only where the file gives it no other.
fn child(config: &Config, command: &crate::Command) -> chancery_gateway::Command {
    let mut env = command.env.clone();
    if let Some(path) = &config.path {
        env.entry("PATH".to_owned()).or_insert_with(|| path.clone());
    }
    chancery_gateway::Command {
        program: command.program.clone(),
        args: command.args.clone(),
        cwd: command.cwd.clone(),
        env,
    }
}

/// Where each server is spoken to: through the gateway, and past it.
pub(crate) fn endpoints(config: &Config, url: &str) -> BTreeMap<String, Vec<String>> {
    let of = |(name, server): (&String, &Upstream)| {
        let past = match &server.transport {
            Transport::Http(url) => Some(url.clone()),
            Transport::Stdio(_) => None,
        };
        (name.clone(), [format!("{url}/mcp/{name}")].into_iter().chain(past).collect())
    };
    config.servers.iter().map(of).collect()
}
