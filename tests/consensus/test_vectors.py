"""protocols/vectors/log.json says what the code does."""

import json

from ambientd.consensus.messages import decode_message, encode_message
from tests.consensus.make_vectors import PATH, vectors


def test_the_published_vectors_are_those_of_the_code() -> None:
    assert json.loads(PATH.read_text()) == vectors()


def test_each_published_message_reads_and_writes_the_same_bytes() -> None:
    published = json.loads(PATH.read_text())
    messages = published["messages"] | published["epoch change"]["messages"]
    messages |= published["snapshot"]["messages"]
    for name, data in messages.items():
        assert encode_message(decode_message(bytes.fromhex(data))).hex() == data, name
