//! Images on proplets that have only a proxy.

use propeller_api::TaskRequest;
use propeller_oci::artifact::Form;
use propeller_proplet::Proplet;
use propeller_proxy::Proxy;

use crate::images::{Place, image, request};
use crate::support::{World, client, ready, run, until};

/// A proplet that fetches no image by itself.
fn shut_in(world: &World, id: &str) -> Proplet {
    world
        .part(id)
        .with("liveliness_interval", "300ms")
        .with("pull_from", "proxy")
        .proplet(id)
        .unwrap()
}

async fn proxy(world: &World, place: &Place) -> Proxy {
    let registry = format!("http://{}", place.address);
    let part = world.part("proxy").with("registries", registry);
    part.with("chunk_size", "16KiB").proxy().await.unwrap()
}

fn on(proplet: &str, image: &str) -> TaskRequest {
    TaskRequest {
        proplet_id: Some(proplet.to_owned()),
        ..request(image)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_runs_where_only_a_proxy_reaches_its_registry_and_is_fetched_once() {
    let world = World::new().await;
    let Some(place) = Place::start(&world.scratch.path("")) else {
        return;
    };
    let manager = world.manager().await;
    let _proxy = proxy(&world, &place).await;
    let _proplets = ["p1", "p2"].map(|id| shut_in(&world, id));
    let client = client(manager.url());
    ready(&client, 2).await;
    for (form, named) in [(Form::Image, "number:1"), (Form::Artifact, "number:2")] {
        let built = image(41, form, &[]);
        place.push(named, &built).await;
        for proplet in ["p1", "p2"] {
            let task = run(&client, &on(proplet, &place.image(named))).await;
            assert_eq!(task.results, "41", "{}", task.error);
        }
        let layer = propeller_oci::sha256(&built.layer);
        until("the registry has told of it", async || {
            place.fetched(layer) > 0
        })
        .await;
        assert_eq!(place.fetched(layer), 1);
    }
}
