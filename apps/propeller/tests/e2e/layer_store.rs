//! Upstream's folder for layers, which ours may be given as it is.

use propeller_api::TaskRequest;
use propeller_oci::artifact::Form;

use crate::images::{Place, image, request};
use crate::support::{World, client, ready, run};

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_folder_for_layers_serves_for_ours_and_what_is_in_it_stays() {
    let world = World::new().await;
    let folder = world.scratch.path("");
    let Some(mut place) = Place::start(&folder) else {
        return;
    };
    let layers = folder.join("layers");
    let others = layers.join("3f4a.wasm");
    std::fs::create_dir(&layers).unwrap();
    std::fs::write(&others, "a layer of upstream's").unwrap();
    let manager = world.manager().await;
    let proplet = |id: &str| {
        let part = world.part(id).with("liveliness_interval", "300ms");
        let part = part.with("layer_store_path", layers.display().to_string());
        part.proplet(id).unwrap()
    };
    // Two of them may share it.
    let proplets = ["p1", "p2"];
    let running = proplets.map(proplet);
    let client = client(manager.url());
    ready(&client, 2).await;
    place.push("number:3", &image(3, Form::Image, &[])).await;
    let mut pinned = String::new();
    for id in proplets {
        let on = TaskRequest {
            proplet_id: Some(id.to_owned()),
            ..request(&place.image("number:3"))
        };
        let task = run(&client, &on).await;
        assert_eq!(task.results, "3", "{}", task.error);
        pinned.clone_from(&task.image_url);
    }
    for proplet in running {
        proplet.stop().await;
    }
    place.stop();
    let _running = proplets.map(proplet);
    for id in proplets {
        let on = TaskRequest {
            proplet_id: Some(id.to_owned()),
            ..request(&pinned)
        };
        let task = run(&client, &on).await;
        assert_eq!(task.results, "3", "{}", task.error);
    }
    assert_eq!(std::fs::read(&others).unwrap(), b"a layer of upstream's");
}
