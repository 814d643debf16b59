"""Questions that no paper asked: do instruments agree, all classes of one clip, real people, networks of others."""
