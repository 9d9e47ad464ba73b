//! Profile and grants: from the API's words to the model's, and back.

use propeller_api as api;
use propeller_api::TaskRequest;
use propeller_model::{Access, Directory, Engine, Grants, Profile};
use propeller_wire::message::Input;

use super::ApiError;

/// Changes the profile and the grants as a request says.
pub(super) fn change(input: &mut Input, request: &TaskRequest) -> Result<(), ApiError> {
    if let Some(name) = request.profile.as_deref().filter(|name| !name.is_empty()) {
        input.profile = name
            .parse()
            .map_err(|error| ApiError::invalid(format!("profile: {error}")))?;
    }
    if let Some(asked) = &request.grants {
        input.grants = asked_grants(asked)?;
    }
    match (input.profile, input.grants.is_empty()) {
        (Profile::Granted, true) => Err(ApiError::invalid(
            "the profile `granted` needs grants: name directories, hosts, ports or env",
        )),
        (Profile::Pure | Profile::Deterministic, false) => Err(ApiError::invalid(format!(
            "grants need the profile `granted`, and this task has `{}`",
            input.profile
        ))),
        (_, _) => Ok(()),
    }
}

fn asked_grants(asked: &api::Grants) -> Result<Grants, ApiError> {
    let wrong = |error: propeller_model::GrantError| ApiError::invalid(error.to_string());
    let directories = asked.directories.iter().map(|one| {
        Ok(Directory {
            host: one.host.clone(),
            guest: one.guest.clone().unwrap_or_else(|| one.host.clone()),
            access: one.access.as_deref().map_or(Ok(Access::Read), str::parse)?,
        })
    });
    let hosts = asked.hosts.iter().map(|host| host.parse());
    let grants = Grants {
        directories: directories.collect::<Result<_, _>>().map_err(wrong)?,
        hosts: hosts.collect::<Result<_, _>>().map_err(wrong)?,
        ports: asked.ports.clone(),
        env: asked.env.clone(),
    };
    grants.check().map_err(wrong)?;
    Ok(grants)
}

/// What a task asks for, as clients see it.
pub(super) fn grants(grants: Grants) -> Option<api::Grants> {
    let asked = !grants.is_empty();
    let directories = grants
        .directories
        .into_iter()
        .map(|one| api::DirectoryGrant {
            access: Some(one.access.to_string()),
            guest: Some(one.guest),
            host: one.host,
        });
    asked.then(|| api::Grants {
        directories: directories.collect(),
        hosts: grants.hosts.iter().map(ToString::to_string).collect(),
        ports: grants.ports,
        env: grants.env,
    })
}

/// What ran a task, as clients see it.
pub(super) fn engine(engine: Engine) -> api::Engine {
    api::Engine {
        name: engine.name,
        version: engine.version,
        sandbox: engine.sandbox,
        arch: engine.arch,
        profile: engine.profile.to_string(),
        isolation: engine.isolation,
        features: engine.features,
    }
}
