"""The nouns of the protocol, frozen. Field names are the wire's, so the codec needs no second copy.

A field that equals its default is not written, which is how the protocol leaves out what is unset.
"""
