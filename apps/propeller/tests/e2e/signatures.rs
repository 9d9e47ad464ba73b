//! Who has to have signed what is run: the manager asks when a task is given a module, and a proplet
//! before it runs one.

use bytes::Bytes;
use propeller_api::TaskRequest;
use propeller_oci::artifact::Form;
use propeller_oci::sign::SigningKey;
use propeller_oci::signatures;
use propeller_sdk::Upload;

use crate::images::{Place, image, keys, number, refused, request};
use crate::support::{World, client, ready, run, state, wait};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_by_whom_it_has_to_be_does_not_run() {
    let world = World::new().await;
    let folder = world.scratch.path("");
    let Some(place) = Place::start(&folder) else {
        return;
    };
    let (private, public) = keys(&folder, "signer");
    let required = public.display().to_string();
    let strict = world
        .manager_part()
        .with("require_signature", required.as_str());
    let manager = strict.manager().await.unwrap();
    let _proplet = world
        .part("p1")
        .with("liveliness_interval", "300ms")
        .with("require_signature", required.as_str())
        .proplet("p1")
        .unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    let built = image(5, Form::Artifact, &[]);
    let reference = place.push("signed:1", &built).await;
    let request = request(&place.image("signed:1"));
    let why = refused(client.task_create(&request, true).await);
    assert!(why.contains("is not signed"), "{why}");

    let key = SigningKey::from_pem(&std::fs::read(private).unwrap(), None).unwrap();
    signatures::add(&place.registry, &reference, built.digest, &key)
        .await
        .unwrap();
    assert_eq!(run(&client, &request).await.results, "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proplet_believes_no_manager_about_signatures() {
    let world = World::new().await;
    let folder = world.scratch.path("");
    let Some(place) = Place::start(&folder) else {
        return;
    };
    let (_, public) = keys(&folder, "signer");
    let manager = world.manager().await;
    let _proplet = world
        .part("p1")
        .with("liveliness_interval", "300ms")
        .with("require_signature", public.display().to_string())
        .proplet("p1")
        .unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    place
        .push("unsigned:1", &image(5, Form::Artifact, &[]))
        .await;
    let task = run(&client, &request(&place.image("unsigned:1"))).await;
    assert_eq!(state(&task), "failed");
    assert!(task.error.contains("is not signed"), "{}", task.error);
    assert!(
        task.error.contains("PROPLET_REQUIRE_SIGNATURE"),
        "{}",
        task.error
    );
}

/// What a task with a module of its own is told.
const NO_IMAGE: &str = "push it to a registry with `propeller push FILE IMAGE --sign KEY`, and name \
                        that image in image_url (--image)";

#[tokio::test(flavor = "multi_thread")]
async fn a_module_in_no_image_is_refused_where_images_have_to_be_signed() {
    let world = World::new().await;
    let (_, public) = keys(&world.scratch.path(""), "signer");
    let lax = world.manager().await;
    let uploaded = crate::support::request("number", &number(5));
    let known = client(lax.url()).task_create(&uploaded, false).await;
    let known = known.unwrap().module.clone();
    lax.stop().await;

    let strict = world.manager_part();
    let strict = strict.with("require_signature", public.display().to_string());
    let manager = strict.manager().await.unwrap();
    let client = client(manager.url());
    let empty = TaskRequest {
        name: Some("number".to_owned()),
        ..TaskRequest::default()
    };
    let by_digest = TaskRequest {
        module: Some(known),
        ..empty.clone()
    };
    let at_address = request("http://127.0.0.1:9/number.wasm");
    let task = client.task_create(&empty, false).await.unwrap();
    for (with, what) in [
        (&uploaded, "file: an uploaded module"),
        (&by_digest, "module: an uploaded module"),
        (&at_address, "image_url: a module at an address"),
    ] {
        let expected = format!(
            "{what} cannot be signed, and MANAGER_REQUIRE_SIGNATURE wants that: {NO_IMAGE}"
        );
        for said in [
            refused(client.task_create(with, true).await),
            refused(client.task_update(&task.id, with).await),
        ] {
            assert!(said.contains(&expected), "{said}");
        }
    }
    let file = Upload::from_bytes("number.wasm", Bytes::from(number(5)));
    let said = refused(client.task_upload(&task.id, file).await);
    assert!(
        said.contains("file: an uploaded module cannot be signed"),
        "{said}"
    );
    assert_eq!(client.task_view(&task.id).await.unwrap().module, "");
}

/// The fields of a request that change nothing but the image.
fn naming(image: &str) -> TaskRequest {
    TaskRequest {
        image_url: Some(image.to_owned()),
        ..TaskRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(
    clippy::too_many_lines,
    reason = "one story of four managers, in which every step needs the one before"
)]
async fn a_module_from_before_signatures_were_required_is_not_started() {
    let world = World::new().await;
    let folder = world.scratch.path("");
    let Some(place) = Place::start(&folder) else {
        return;
    };
    let (private, public) = keys(&folder, "signer");
    let (_, other) = keys(&folder, "other");
    let built = image(5, Form::Artifact, &[]);
    let reference = place.push("number:1", &built).await;
    let lax = world.manager().await;
    let before = client(lax.url());
    let uploaded = crate::support::request("number", &number(5));
    let named = request(&place.image("number:1"));
    let mut given = Vec::new();
    for request in [&uploaded, &named] {
        for start in [false, true] {
            let task = before.task_create(request, start).await.unwrap();
            given.push(task.id.clone());
        }
    }
    let [upload, upload_queued, image, image_queued] = &given[..] else {
        panic!("{given:?}")
    };
    lax.stop().await;

    // What waits is given to nobody, and what is started is refused.
    let strict = |key: &std::path::Path| {
        let part = world.manager_part();
        part.with("require_signature", key.display().to_string())
    };
    let manager = strict(&public).manager().await.unwrap();
    let after = client(manager.url());
    let p1 = world.proplet("p1");
    ready(&after, 1).await;
    let cannot = format!(
        "the task's module cannot be signed, and MANAGER_REQUIRE_SIGNATURE wants that: {NO_IMAGE}"
    );
    let unseen =
        "nobody has looked who signed the task's image, and MANAGER_REQUIRE_SIGNATURE wants";
    for (task, queued, why) in [
        (upload, upload_queued, cannot.as_str()),
        (image, image_queued, unseen),
    ] {
        let said = refused(after.task_start(task).await);
        assert!(said.contains(why), "{said}");
        let ended = wait(&after, queued).await;
        assert_eq!(state(&ended), "failed");
        assert!(ended.error.contains(why), "{}", ended.error);
        let said = refused(after.task_start(queued).await);
        assert!(said.contains(why), "{said}");
    }

    // Naming the image once more has its signatures looked at.
    let again = naming(&place.image("number:1"));
    let said = refused(after.task_update(image, &again).await);
    assert!(said.contains("is not signed"), "{said}");
    let key = SigningKey::from_pem(&std::fs::read(private).unwrap(), None).unwrap();
    signatures::add(&place.registry, &reference, built.digest, &key)
        .await
        .unwrap();
    for task in [image, image_queued] {
        after.task_update(task, &again).await.unwrap();
        after.task_start(task).await.unwrap();
        assert_eq!(wait(&after, task).await.results, "5");
    }
    manager.stop().await;

    // That is remembered across a restart, for the keys that are required then.
    let manager = strict(&public).manager().await.unwrap();
    let after = client(manager.url());
    ready(&after, 1).await;
    after.task_start(image).await.unwrap();
    assert_eq!(wait(&after, image).await.results, "5");
    manager.stop().await;
    let manager = strict(&other).manager().await.unwrap();
    let said = refused(client(manager.url()).task_start(image).await);
    assert!(
        said.contains("the task's image was signed with the key sha256:"),
        "{said}"
    );
    manager.stop().await;
    p1.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proplet_that_wants_signatures_runs_no_module_without_an_image() {
    let world = World::new().await;
    let folder = world.scratch.path("");
    let Some(place) = Place::start(&folder) else {
        return;
    };
    let (private, public) = keys(&folder, "signer");
    let manager = world.manager().await;
    let _strict = world
        .part("strict")
        .with("liveliness_interval", "300ms")
        .with("require_signature", public.display().to_string())
        .proplet("strict")
        .unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    // One that comes with its start, and one that would come in pieces.
    let long = [number(5), vec![0; 3 << 20]].concat();
    for wasm in [number(5), long] {
        let task = run(&client, &crate::support::request("number", &wasm)).await;
        assert_eq!(state(&task), "failed");
        let why = "nobody can have signed this module, because it came without an image, and this \
                   proplet runs what is signed (PROPLET_REQUIRE_SIGNATURE): push it with `propeller \
                   push FILE IMAGE --sign KEY`, and name that image (--image)";
        assert!(task.error.contains(why), "{}", task.error);
    }

    // Somebody else may take it, and what was signed runs here.
    let _lax = world.proplet("lax");
    ready(&client, 2).await;
    let task = run(&client, &crate::support::request("number", &number(5))).await;
    assert_eq!((task.results, &*task.proplet_id), ("5".into(), "lax"));
    let built = image(6, Form::Artifact, &[]);
    let reference = place.push("signed:1", &built).await;
    let key = SigningKey::from_pem(&std::fs::read(private).unwrap(), None).unwrap();
    signatures::add(&place.registry, &reference, built.digest, &key)
        .await
        .unwrap();
    let here = TaskRequest {
        proplet_id: Some("strict".to_owned()),
        ..request(&place.image("signed:1"))
    };
    assert_eq!(run(&client, &here).await.results, "6");
}
