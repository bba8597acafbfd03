use super::*;

const SMALL: Capacity = Capacity {
    links: 8,
    links_per_source: 4,
    strangers: 4,
    strangers_per_source: 2,
};

#[test]
fn a_flood_pushes_out_its_own_links_and_nobody_elses() {
    let mut places = Places::new(SMALL);
    let (honest, _) = places.enter(source(1)).unwrap();
    let (first, _) = places.enter(source(2)).unwrap();
    let (second, _) = places.enter(source(2)).unwrap();
    let (third, gone) = places.enter(source(2)).unwrap();
    assert_eq!(gone, [first]);
    let (_, gone) = places.enter(source(2)).unwrap();
    assert_eq!(gone, [second]);
    assert_eq!((places.len(), places.strangers()), (3, 3));
    places.leave(honest);
    places.leave(third);
    assert_eq!((places.len(), places.strangers()), (1, 1));
}

#[test]
fn with_too_many_strangers_the_oldest_of_the_largest_source_goes() {
    let mut places = Places::new(SMALL);
    places.enter(source(1)).unwrap();
    let (of_largest, _) = places.enter(source(2)).unwrap();
    places.enter(source(3)).unwrap();
    places.enter(source(2)).unwrap();
    let (_, gone) = places.enter(source(4)).unwrap();
    assert_eq!(gone, [of_largest]);
    assert_eq!(places.strangers(), 4);
}

#[test]
fn among_sources_that_have_the_same_the_oldest_stranger_goes() {
    let mut places = Places::new(SMALL);
    let oldest = places.enter(source(9)).unwrap().0;
    for n in 1..4 {
        places.enter(source(n)).unwrap();
    }
    assert_eq!(places.enter(source(5)).unwrap().1, [oldest]);
}

#[test]
fn who_is_known_is_never_pushed_out() {
    let mut places = Places::new(SMALL);
    let known: Vec<PlaceId> = (0..4).map(|_| enter_known(&mut places, 1)).collect();
    assert_eq!(places.enter(source(1)), Err(Full::LinksOfSource));
    for n in 2..6 {
        enter_known(&mut places, n);
    }
    assert_eq!(places.enter(source(7)), Err(Full::Links));
    assert_eq!((places.len(), places.strangers()), (8, 0));
    places.leave(known[0]);
    assert!(places.enter(source(7)).is_ok());
    let (_, gone) = places.enter(source(8)).unwrap();
    assert_eq!(gone.len(), 1, "the stranger made room");
}

#[test]
fn a_place_that_is_lost_is_left_and_settled_without_harm() {
    let mut places = Places::new(SMALL);
    let (first, _) = places.enter(source(1)).unwrap();
    places.enter(source(1)).unwrap();
    let (_, gone) = places.enter(source(1)).unwrap();
    assert_eq!(gone, [first]);
    assert!(!places.settle(first));
    places.leave(first);
    places.leave(first);
    assert_eq!((places.len(), places.strangers()), (2, 2));
}

fn enter_known(places: &mut Places, n: u8) -> PlaceId {
    let (place, _) = places.enter(source(n)).unwrap();
    assert!(places.settle(place) && places.settle(place));
    place
}

fn source(n: u8) -> Source {
    Source::of([192, 0, 2, n].into())
}
