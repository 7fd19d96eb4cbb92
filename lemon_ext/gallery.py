"""The gallery of a batch, under the name the documentation uses. The work is `lemon_ext.batch.gallery`'s."""

from .batch.gallery import write_gallery as write_gallery

__all__ = ("write_gallery",)
