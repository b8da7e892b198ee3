"""Words by which `vidsearch.unknown` tells a stranger's name from everything else, folded."""

from __future__ import annotations

from vidsearch import grammar_words


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


NAMES_THAT_ARE_WORDS = _set(
    """angel art autumn bill bob brook carol chance chase chuck crystal daisy dawn dean destiny
    drew dusty earl eve faith fern frank gene glen grace grant gray guy harmony hazel heath heather
    holly hope hunter iris ivy jack jade jasmine jay jean jewel joy june kit lance lily mark mason
    may melody miles mike nick olive pat pearl penny peter ray red reed rich rob robin rock rod
    rose ruby rusty sandy sky stone storm summer sunny terry toni tom trip ty violet wade ward
    west will willow wood"""
)
PARTICLES = _set(
    "al ap ben bin bint da dal de del della den der di do dos du el ibn la le st ten "
    "ter van vom von y zu zum"
)
TITLES = _set(
    """chancellor coach captain colonel dame doctor dr duke emperor general governor judge king lady
    lord madam mayor minister miss mr mrs ms pope president prime prince princess prof professor
    queen saint secretary senator sir vice"""
)
# A place or a thing wherever it stands in a name, or only as its first word ("White House", but
# Betty White).
NO_PERSON = _set(
    """academy africa airlines airport alps america apollo army asia association avenue awards
    bank bay beach board bowl bridge britain broadway building capitol castle cathedral center
    central centre championship champions christmas church city club coast college committee
    company congress convention corner council county court cup day delhi department desert
    dhabi diwali east easter eiffel emirates europe eve falls festival fifth forest formula
    fort foundation france gallery garden gardens gate germany hall halloween harbor harbour
    hills hollywood hospital hotel house india institute international island islands kingdom
    kong lake lanka league library louvre mahal mall market memorial metro mount mountain
    mountains museum music national nations navy nobel ocean office olympic olympics opera
    oscar oscars oval palace park parliament plaza police prize ramadan republic rica rico rio
    river road room school sea shanghai silicon square stadium star state states station
    statue street summit sydney taj temple thanksgiving theater theatre times tokyo tower town
    trail tree truck tv union united university us valley village wall war wars wimbledon
    windows winter world york zealand zoo"""
)
NO_FIRST_NAME = _set(
    """abu big black blue brown buenos costa cruz eastern golden grand great green hong kuala las
    los new north northern orange premier puerto red royal san santa south southern sri st
    super supreme tel trade west western white wide wild yellow"""
)
NATIONS = _set(
    """african american arab argentine asian australian austrian belgian brazilian british canadian
    chinese danish dutch egyptian english european finnish french german greek indian irish israeli
    italian japanese korean mexican norwegian persian polish portuguese roman russian scottish
    spanish swedish swiss turkish ukrainian welsh"""
)
ORDINARY = _set(
    """a actor actress aerial an and angry animals animated any artist athlete audience babies baby
    band bald bearded bearing beautiful bike birds blond blonde boy boys bride bus car cars cat cats
    chef child children close closeup crowd dancer dancers dog dogs drone elderly empty every
    famous fans female few five football four girl girls group guitar happy he her him his horse i
    in inside it kids large little male man many medium men mother my night no nobody number of old
    on one or our outdoor outside pair people person player players reporter sad several she shot
    shots singer six slow small smiling snow soccer soldier soldiers some someone speaker student
    students sunset tall teacher team tennis that the their these they this those three to two
    view we wide woman women worker workers young"""
)
BEFORE = (
    _set(
        "and with by of for featuring showing starring beside behind & like meet find see "
        "where is are does me"
    )
    | grammar_words.BEFORE_A_NAME
)
INTRODUCES = _set("by with featuring starring")
AFTER = _set(
    """alone and answers appears are arrives as asks at before behind beside between by cries
    cooks dances does drinks drives eats enters from gave gives greets had has holds hugs in
    interview inside is jumps kicks kisses laughs leaves listens looks makes meets near next on or
    outdoors outside over performance performs plays points portrait reads runs s said sang says
    scores shakes shouts shows signs sings sits sleeps smiles spoke speaks speech stands sleeping
    talk talks together tries under used walks was watches waves wears were while who with works
    writes"""
)
FOLLOWS = AFTER | grammar_words.AFTER_A_NAME
LAST_OF_NO_NAME = (AFTER | ORDINARY) - {"nobody"}
SURNAMES = _set("browning channing deng fielding fleming golding harding irving spalding sterling")
