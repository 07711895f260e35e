from riverrun.services.webhook_sender import signature

# Worked out by printf BODY | openssl dgst -sha256 -hmac SECRET -binary | base64.


def test_a_signature_is_what_openssl_makes_of_it():
    expected = "v1,/Hqug/JsMUvI3mrKxx95W1oU9WZJN5/KNqtUvtF4fLc="
    assert signature("key", "id", "1700000000", "{}") == expected


def test_secrets_and_bodies_are_signed_as_utf8():
    expected = "v1,0YUV3d2P66PKCMa/QaO/Un7sWZRvvd8BrVz2CPDG8Ms="
    assert signature("schlüssel", "id", "1", '{"a":"ü"}') == expected
