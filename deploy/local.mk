# deployment files
