# crossfadectl
